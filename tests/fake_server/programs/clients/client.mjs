// Makes a video and downloads it, by the HTTP client that the first argument names, waiting 10 seconds between two polls.
import { request as httpsRequest } from "node:https";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

const require = createRequire(import.meta.url);
const API = "https://api.aimlapi.com/v2/generate/video/kling/generation";
const HEADERS = { Authorization: "Bearer a-key-for-tests", "Content-Type": "application/json" };
const BODY = { model: "kling-video/v1/pro/image-to-video", image_url: "https://example.com/cat.png", prompt: "The cat wakes up." };

/** Return a function that sends by the `request` of a module such as node:https: (method, url, body) to status and content. */
const byRequest = (request, options = {}) => (method, url, body) =>
  new Promise((resolve, reject) => {
    const sent = request(url, { method, headers: HEADERS, ...options }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve([answer.statusCode, Buffer.concat(parts)]));
    });
    sent.on("error", reject);
    sent.end(body);
  });

/** Return a function that sends by a `fetch`. */
const byFetch = (fetch, options = {}) => async (method, url, body) => {
  const answer = await fetch(url, { method, headers: HEADERS, body, ...options });
  return [answer.status, Buffer.from(await answer.arrayBuffer())];
};

const byUndici = (undici, options) => async (method, url, body) => {
  const answer = await undici.request(url, { method, headers: HEADERS, body, ...options });
  return [answer.statusCode, Buffer.from(await answer.body.arrayBuffer())];
};

const byAxios = (axios) => async (method, url, data) => {
  const answer = await axios.request({ method, url, data, headers: HEADERS, responseType: "arraybuffer" });
  return [answer.status, Buffer.from(answer.data)];
};

const clients = {
  fetch: () => byFetch(fetch),
  "https of a module": () => byRequest(httpsRequest),
  "https of CommonJS": () => byRequest(require("https").request),
  "https with an agent of its own": () => {
    const https = require("https");
    return byRequest(https.request, { agent: new https.Agent({ keepAlive: true }) });
  },
  "node-fetch 2": () => byFetch(require("node-fetch-2")),
  "node-fetch 3": async () => byFetch((await import("node-fetch")).default),
  got: async () => {
    const { got } = await import("got");
    return async (method, url, body) => {
      const answer = await got(url, { method, headers: HEADERS, body, responseType: "buffer" });
      return [answer.statusCode, answer.body];
    };
  },
  ky: async () => byFetch((await import("ky")).default),
  "undici 6": () => byUndici(require("undici")),
  "undici 7": () => byUndici(require("undici")),
  "undici 8": () => byUndici(require("undici")),
  "undici 6 with a dispatcher of its own": () => {
    const undici = require("undici");
    return byUndici(undici, { dispatcher: new undici.Agent({ connections: 1 }) });
  },
  openai: async () => {
    const { default: OpenAI } = await import("openai");
    const client = new OpenAI({ apiKey: "a-key-for-tests", baseURL: "https://api.aimlapi.com/v2", maxRetries: 0 });
    return async (method, url, body) => {
      const options = body ? { body: JSON.parse(body) } : {};
      const answer = await client[method.toLowerCase()](url, { ...options, __binaryResponse: true }).asResponse();
      return [answer.status, Buffer.from(await answer.arrayBuffer())];
    };
  },
  superagent: () => async (method, url, body) => {
    const answer = await require("superagent")(method, url).set(HEADERS).responseType("blob").send(body);
    return [answer.status, answer.body];
  },
  axios: () => byAxios(require("axios")),
  "axios 1.7.7": () => byAxios(require("axios-1.7.7")),
  "axios 1.6.0": () => byAxios(require("axios-1.6.0")),
  request: () => (method, url, body) =>
    new Promise((resolve, reject) => {
      require("request")({ method, url, headers: HEADERS, body, encoding: null }, (error, answer, content) =>
        error ? reject(error) : resolve([answer.statusCode, content]),
      );
    }),
  "fetch in a worker": async () => {
    const { Worker } = await import("node:worker_threads");
    const code = `const { parentPort, workerData } = require("worker_threads");
      (async () => {
        const { method, url, headers, body } = workerData;
        const answer = await fetch(url, { method, headers, body });
        parentPort.postMessage([answer.status, Buffer.from(await answer.arrayBuffer())]);
      })();`;
    return (method, url, body) =>
      new Promise((resolve, reject) => {
        const worker = new Worker(code, { eval: true, workerData: { method, url, body, headers: HEADERS } });
        worker.on("message", ([status, content]) => resolve([status, Buffer.from(content)]));
        worker.on("error", reject);
      });
  },
};

const send = await clients[process.argv[2]]();
const wait = Number(process.env.WAIT ?? 10) * 1000;
const [status, answer] = await send("POST", API, JSON.stringify(BODY));
if (status !== 200 && status !== 201) throw new Error(`${status}: ${answer}`);
let made = JSON.parse(answer);
for (let polls = 0; made.status !== "completed" && made.status !== "error"; polls++) {
  if (polls % 2) await sleep(wait);
  else await new Promise((resolve) => setTimeout(resolve, wait));
  made = JSON.parse((await send("GET", `${API}?generation_id=${made.id}`))[1]);
}
const [, video] = await send("GET", made.video.url);
console.log(made.status, video.length);

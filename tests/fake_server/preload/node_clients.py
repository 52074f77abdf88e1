"""Programs for Node that make a video through one client library each: nothing in them knows of a fake or of a run."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLIENTS", "NODE_VERSIONS", "NodeClient"]

NODE_VERSIONS = (18, 20, 22, 24, 26)

# What all of them do; `call(method, address, body)` is the client's own part, and returns a promise of parsed JSON.
PROGRAM = """
const address = "https://api.aimlapi.com/v2/video/generations";
const headers = { Authorization: "Bearer a-key-for-tests", "Content-Type": "application/json" };
const order = { model: "kling-video/v1.6/standard/text-to-video", prompt: "The cat wakes up.", duration: 5 };

async function make() {
  const { id } = await call("POST", address, JSON.stringify(order));
  for (;;) {
    const { status, video } = await call("GET", `${address}?generation_id=${id}`);
    if (status === "completed") return video.url;
    if (status === "error") throw new Error("the generation failed");
    await new Promise((resolve) => setTimeout(resolve, 10_000));
  }
}

make().then(console.log, (error) => {
  console.error(error);
  process.exitCode = 1;
});
"""


@dataclass(frozen=True, kw_only=True)
class NodeClient:
    """A client library: its packages, the first Node that runs it, and its part of the program.

    `suffix` is that of a file with the program: "mjs" or "cjs". `reads_proxy`: it obeys HTTPS_PROXY by itself.
    """

    name: str
    call: str
    packages: tuple[str, ...] = ()
    lowest: int = 18
    suffix: str = "mjs"
    reads_proxy: bool = False

    @property
    def program(self) -> str:
        """The whole program; it prints the URL of the video."""
        return self.call.strip() + "\n" + PROGRAM


BY_CALLBACKS = """
const call = (method, address, body) => new Promise((resolve, reject) => {
  const request = OPEN(address, { method, headers, OPTIONS }, (response) => {
    let text = "";
    response.on("data", (part) => (text += part)).on("end", () => resolve(JSON.parse(text)));
  });
  request.on("error", reject).end(body);
});
"""


def _by_callbacks(first: str, call: str, options: str = "") -> str:
    return first + BY_CALLBACKS.replace("OPEN", call).replace("OPTIONS", options)


def _by_fetch(first: str, call: str = "fetch", options: str = "") -> str:
    return f"""{first}
const call = async (method, address, body) => (await {call}(address, {{ method, headers, body, {options} }})).json();
"""


AXIOS = """
const axios = require("axios");
const call = async (method, url, data) => (await axios({ method, url, headers, data })).data;
"""
UNDICI = """
import { Agent, request } from "undici";
const dispatcher = new Agent({ connections: 1 });
const call = async (method, address, body) => (await request(address, { method, headers, body, dispatcher })).body.json();
"""
GOT = """
import got from "got";
const call = (method, address, body) => got(address, { method, headers, body }).json();
"""
KY = """
import ky from "ky";
const call = (method, address, body) => ky(address, { method, headers, body }).json();
"""
SUPERAGENT = """
const superagent = require("superagent");
const call = async (method, address, body) => (await superagent(method, address).set(headers).send(body)).body;
"""
OPENAI = """
import OpenAI from "openai";
const client = new OpenAI({ apiKey: "a-key-for-tests", baseURL: "https://api.aimlapi.com/v2" });
const call = (method, address, body) =>
  client[method.toLowerCase()](address, body ? { body: JSON.parse(body) } : {});
"""
REQUEST = """
const request = require("request");
const call = (method, url, body) => new Promise((resolve, reject) =>
  request({ method, url, headers, body }, (error, _, text) => (error ? reject(error) : resolve(JSON.parse(text)))));
"""
WORKER = """
const { Worker, isMainThread } = require("node:worker_threads");
const call = async (method, address, body) => (await fetch(address, { method, headers, body })).json();
if (isMainThread) {
  new Worker(__filename).on("error", (error) => { throw error; });
  return;
}
"""

OWN_AUTHORITY = "ca: rootCertificates[0], agent: new https.Agent({ keepAlive: true })"

CLIENTS = (
    NodeClient(name="fetch", call=_by_fetch("")),
    NodeClient(name="https", call=_by_callbacks('const https = require("node:https");', "https.request"), suffix="cjs"),
    NodeClient(
        name="https, imported by name", call=_by_callbacks('import { request as open } from "node:https";', "open")
    ),
    NodeClient(
        name="https, own agent and authority",
        call=_by_callbacks(
            'import https from "node:https";\nimport { rootCertificates } from "node:tls";',
            "https.request",
            OWN_AUTHORITY,
        ),
    ),
    NodeClient(name="fetch in a worker", call=WORKER, suffix="cjs"),
    NodeClient(name="undici 6", call=UNDICI, packages=("undici@6",)),
    NodeClient(name="undici 7", call=UNDICI, packages=("undici@7",), lowest=20),
    NodeClient(name="undici 8", call=UNDICI, packages=("undici@8",), lowest=22),
    NodeClient(name="axios 1.6.0", call=AXIOS, packages=("axios@1.6.0",), suffix="cjs", reads_proxy=True),
    NodeClient(name="axios 1.7.7", call=AXIOS, packages=("axios@1.7.7",), suffix="cjs", reads_proxy=True),
    NodeClient(name="axios", call=AXIOS, packages=("axios",), suffix="cjs", reads_proxy=True),
    NodeClient(name="got", call=GOT, packages=("got",), lowest=20),
    NodeClient(name="ky", call=KY, packages=("ky",)),
    NodeClient(
        name="node-fetch 2",
        call=_by_fetch('const open = require("node-fetch");', "open"),
        packages=("node-fetch@2",),
        suffix="cjs",
    ),
    NodeClient(
        name="node-fetch 3", call=_by_fetch('import open from "node-fetch";', "open"), packages=("node-fetch@3",)
    ),
    NodeClient(name="superagent", call=SUPERAGENT, packages=("superagent",), suffix="cjs"),
    NodeClient(name="openai", call=OPENAI, packages=("openai",)),
    NodeClient(name="request", call=REQUEST, packages=("request",), suffix="cjs", reads_proxy=True),
)

/**
 * Time in this process follows the clock of the run: its clocks show the run's time, and its waits end by it.
 *
 * The run moves its clock while the program only waits (for a video, say). It sends the seconds it has moved so far, the
 * offset; this process says when it would wake up next. Timers are the real ones of Node: after a move, each is
 * started anew with what is left of its time. So all they do (order, errors, context, unref, ids) stays Node's own work.
 *
 * What blocks the thread stays real: `Atomics.wait`, synchronous child processes, computing.
 */
"use strict";

const net = require("node:net");
const timers = require("node:timers");
const timersPromises = require("node:timers/promises");
const { promisify } = require("node:util");
const vm = require("node:vm");

const real = {
  setTimeout: globalThis.setTimeout,
  setInterval: globalThis.setInterval,
  setImmediate: globalThis.setImmediate,
  sleep: timersPromises.setTimeout,
  ticks: timersPromises.setInterval,
  dateNow: Date.now,
  hrtime: process.hrtime,
  hrtimeBigint: process.hrtime.bigint,
  uptime: process.uptime,
  abortTimeout: AbortSignal.timeout,
};
const Timeout = real.setTimeout(() => {}, 0).unref().constructor;
real.refresh = Timeout.prototype.refresh;

/** Whose timers stay real: Node's own modules, and the timers of undici, in Node or as a package. */
const MACHINERY = /^node:|[\\/]undici[\\/]lib[\\/](util[\\/])?timers\.js$/;
/** What Node calls the work of its own that ends by itself and soon; a connection may wait for as long as it likes. */
const BUSY = /^(FSReq|CloseReq|GetAddrInfoReq|Immediate$)/;
const LONGEST_TEXT = 2000;
const MOST_TEXTS = 10_000;
const COMPACT_FROM = 1000;

/** What the run has moved its clock by, in milliseconds: before this process began, and since. */
const moved = { before: 0, since: 0 };

/** Real milliseconds. By `hrtime`, since `performance.now` is built upon the `process.hrtime` of programs in Node 18. */
function realNow() {
  const [seconds, nanoseconds] = real.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}

/** The real milliseconds at which `performance.now()` is 0. */
const origin = realNow() - performance.now();

/** What `performance.now()` shows, which waits are measured by too: real time, and what the run moved meanwhile. */
const now = () => realNow() - origin + moved.since;

/** Milliseconds since 1970 on the clock of the run. */
const dateNow = () => real.dateNow() + Math.round(moved.before + moved.since);

// ---------------------------------------------------------------------------------------------- who asked for a timer

const machineryByText = new Map();

/** The file of the code that called `callee`, or null. Slow (some microseconds): V8 has to walk the stack. */
function fileOfCaller(callee) {
  const { stackTraceLimit, prepareStackTrace } = Error;
  const trace = {};
  try {
    Error.stackTraceLimit = 1;
    Error.prepareStackTrace = (_, frames) => frames;
    Error.captureStackTrace(trace, callee);
    return trace.stack[0]?.getFileName() ?? null;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    Error.prepareStackTrace = prepareStackTrace;
  }
}

/**
 * Whether the caller of `callee` is machinery. The answer is kept by the text of the callback, since one text stands
 * in one file; native functions (the `resolve` of a promise) all have the same text, so theirs is not kept.
 */
function isMachinery(callee, callback) {
  const text = Function.prototype.toString.call(callback);
  const known = machineryByText.get(text.length < LONGEST_TEXT ? text : "");
  if (known !== undefined) return known;
  const answer = MACHINERY.test(fileOfCaller(callee) ?? "");
  if (text.length < LONGEST_TEXT && !text.endsWith("[native code] }")) {
    if (machineryByText.size >= MOST_TEXTS) machineryByText.clear();
    machineryByText.set(text, answer);
  }
  return answer;
}

// ------------------------------------------------------------------------------------------- timers by their due time

/** The property of a timer that holds the wait it is in now: one that was started anew has left its earlier waits. */
const WAIT = Symbol("wait");

/**
 * The waits that have not ended: a binary heap, the earliest first. Waits of timers that were cleared or fired stay in
 * it until they reach the top or the heap has doubled.
 * @type {{timer: NodeJS.Timeout, due: number, order: number}[]}
 */
let waits = [];
let compactAt = COMPACT_FROM;
let order = 0;

const isEarlier = (one, other) => one.due < other.due || (one.due === other.due && one.order < other.order);
const isCurrent = (wait) => wait.timer[WAIT] === wait && !wait.timer._destroyed;

/** Put a wait into the heap. */
function push(wait) {
  let at = waits.length;
  waits.push(wait);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isEarlier(wait, waits[parent])) break;
    waits[at] = waits[parent];
    at = parent;
  }
  waits[at] = wait;
}

/** Take the earliest wait off the heap. */
function pop() {
  const last = waits.pop();
  if (waits.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= waits.length) break;
    if (child + 1 < waits.length && isEarlier(waits[child + 1], waits[child])) child += 1;
    if (!isEarlier(waits[child], last)) break;
    waits[at] = waits[child];
    at = child;
  }
  waits[at] = last;
}

/** Keep only the waits that have not ended, in the order of their due times (which is a heap as well). */
function compact() {
  waits = waits.filter(isCurrent).sort((one, other) => (isEarlier(one, other) ? -1 : 1));
  compactAt = Math.max(COMPACT_FROM, 2 * waits.length);
}

/** The due time of the earliest wait, or null if nothing waits. */
function earliest() {
  while (waits.length > 0 && !isCurrent(waits[0])) pop();
  return waits.length > 0 ? waits[0].due : null;
}

/** Follow a timer that was started just now. */
function track(timer) {
  const wait = { timer, due: now() + timer._idleTimeout, order: (order += 1) };
  timer[WAIT] = wait;
  push(wait);
  if (waits.length >= compactAt) compact();
  reportSoon();
}

/** Start every timer anew with what is left of its time; those that are due fire at once, the earliest first. */
function startAnew() {
  compact();
  const at = now();
  for (const { timer, due } of waits) {
    const asked = timer._idleTimeout; // what `refresh` starts a timer with, so it must be back for the program's own
    timer._idleTimeout = Math.max(1, Math.ceil(due - at));
    real.refresh.call(timer);
    timer._idleTimeout = asked;
  }
}

// ------------------------------------------------------------------------------------------------- the run is told

let connection = null;
let firstOffset = null;
let reported = null;
let willReport = false;

const send = (message) => connection?.write(`${JSON.stringify(message)}\n`);

/** Seconds until the earliest wake-up of this process, or null; remembered as what the run has been told. */
function secondsToEarliest() {
  reported = earliest();
  return reported === null ? null : Math.max(0, reported - now()) / 1000;
}

/** Tell the run the earliest wake-up if it has changed. */
function report() {
  willReport = false;
  if (earliest() !== reported) send({ wait: secondsToEarliest() });
}

/** Report at the end of this turn of the event loop: a program often starts and clears many timers in one. */
function reportSoon() {
  if (willReport || connection === null) return;
  willReport = true;
  real.setImmediate(report);
}

/** Whether something is under way that soon brings the event loop new work: a file, a look-up, an immediate. */
const isBusy = () => process.getActiveResourcesInfo().some((name) => BUSY.test(name));

/** Answer a question of the run, once all that had already arrived at this process has been handled and it is idle. */
function answer(number) {
  const answerIfIdle = () => {
    if (isBusy()) real.setTimeout(answer, 1, number).unref();
    else send({ answer: number, wait: secondsToEarliest() });
  };
  real.setImmediate(() => real.setImmediate(answerIfIdle));
}

// ------------------------------------------------------------------------------------------------- functions that wait

/** Start a timer that reports its end, and follow it. */
function startTimeout(callback, delay, values) {
  const fire = function () {
    reportSoon();
    return Reflect.apply(callback, this, arguments);
  };
  const timer = real.setTimeout(fire, delay, ...values);
  track(timer);
  return timer;
}

/** Start a timer that repeats, and follow each of its waits. */
function startInterval(callback, delay, values) {
  const fire = function () {
    track(timer);
    return Reflect.apply(callback, this, arguments);
  };
  const timer = real.setInterval(fire, delay, ...values);
  track(timer);
  return timer;
}

/** `setTimeout` or `setInterval` for programs: what is wrong with a call is Node's to say, machinery stays real. */
function forPrograms(original, start) {
  const replacement = {
    [original.name](callback, delay, ...values) {
      if (typeof callback !== "function" || isMachinery(replacement, callback)) return original(callback, delay, ...values);
      return start(callback, delay, values);
    },
  }[original.name];
  return replacement;
}

const setTimeout = forPrograms(real.setTimeout, startTimeout);
const setInterval = forPrograms(real.setInterval, startInterval);

/** A function that ends a timer, reported. */
function reporting(end) {
  return function (...args) {
    reportSoon();
    return Reflect.apply(end, this, args);
  };
}

/** Whether a call of `timers/promises` is one that waits; all others (wrong or already aborted) fail at once in Node. */
function waitsIndeed(delay, options) {
  if (delay !== undefined && typeof delay !== "number") return false;
  if (typeof options !== "object" || options === null) return false;
  const { signal, ref } = options;
  const isSignal = signal === undefined || (signal instanceof AbortSignal && !signal.aborted);
  return isSignal && (ref === undefined || typeof ref === "boolean");
}

/** `setTimeout` of `timers/promises`. */
function sleep(delay, value, options = {}) {
  if (!waitsIndeed(delay, options)) return real.sleep(delay, value, options);
  const { signal, ref = true } = options;
  return new Promise((resolve) => {
    const finish = () => {
      signal?.removeEventListener("abort", abort);
      resolve(value);
    };
    const timer = startTimeout(finish, delay, []);
    const abort = () => {
      timer.close();
      resolve(real.sleep(0, value, options)); // rejects at once, with Node's own error
    };
    if (!ref) timer.unref();
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** `setInterval` of `timers/promises`. */
async function* ticks(delay, value, options = {}) {
  if (!waitsIndeed(delay, options)) return yield* real.ticks(delay, value, options);
  const { signal, ref = true } = options;
  let passed = 0;
  let wake = () => {};
  const tick = () => {
    passed += 1;
    wake();
  };
  const interval = startInterval(tick, delay, []);
  const abort = () => wake();
  if (!ref) interval.unref();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    for (;;) {
      if (signal?.aborted) await real.sleep(0, undefined, { signal }); // rejects at once, with Node's own error
      if (passed === 0) await new Promise((resolve) => (wake = resolve));
      for (; passed > 0; passed -= 1) yield value;
    }
  } finally {
    interval.close();
    signal?.removeEventListener("abort", abort);
  }
}

/** `AbortSignal.timeout`. */
function abortTimeout(delay) {
  if (!Number.isSafeInteger(delay) || delay < 0) return real.abortTimeout.call(AbortSignal, delay);
  const controller = new AbortController();
  const abort = () => controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
  startTimeout(abort, delay, []).unref();
  return controller.signal;
}

/** Replace the property of an object and leave all else about it as it was. */
function replace(object, name, value) {
  Object.defineProperty(object, name, { ...Object.getOwnPropertyDescriptor(object, name), value });
}

/** Replace every function of this process that waits. */
function replaceWaits() {
  Object.defineProperty(setTimeout, promisify.custom, { enumerable: true, get: () => sleep });
  const ends = { clearTimeout: reporting(globalThis.clearTimeout), clearInterval: reporting(globalThis.clearInterval) };
  for (const [name, replacement] of Object.entries({ setTimeout, setInterval, ...ends })) {
    globalThis[name] = replacement;
    timers[name] = replacement;
  }
  for (const name of ["close", Symbol.dispose]) {
    if (name && Timeout.prototype[name]) replace(Timeout.prototype, name, reporting(Timeout.prototype[name]));
  }
  replace(Timeout.prototype, "refresh", function refresh() {
    real.refresh.call(this);
    if (this[WAIT] && !this._destroyed) track(this);
    return this;
  });
  timersPromises.setTimeout = sleep;
  timersPromises.setInterval = ticks;
  Object.defineProperty(timersPromises.scheduler, "wait", {
    value: (delay, options) => sleep(delay, undefined, options),
    configurable: true,
    writable: true,
  });
  replace(AbortSignal, "timeout", abortTimeout);
}

// ------------------------------------------------------------------------------------------------- clocks

/** Replace the `Date` of a global object by one that shows the clock of the run: its instances are real dates. */
function replaceDate(global) {
  const RealDate = global.Date;
  RealDate.now = dateNow;
  const VirtualDate = new Proxy(RealDate, {
    apply: () => new RealDate(dateNow()).toString(),
    construct: (target, args, newTarget) => Reflect.construct(target, args.length > 0 ? args : [dateNow()], newTarget),
  });
  RealDate.prototype.constructor = VirtualDate;
  global.Date = VirtualDate;
}

/** Let each new context have the clock as well: test runners such as Jest run a program in one, with its own `Date`. */
function replaceDateInContexts() {
  const { createContext } = vm;
  vm.createContext = function (...args) {
    const context = createContext(...args);
    const global = vm.runInContext("globalThis", context);
    if (!Object.hasOwn(args[0] ?? {}, "Date")) replaceDate(global);
    return context;
  };
}

/** Replace the clocks that count from the start of the process, or from nothing. */
function replaceCounters() {
  const nanoseconds = () => BigInt(Math.round(moved.since * 1e6));
  const hrtime = function (since) {
    const [seconds, rest] = real.hrtime(since); // says what is wrong with `since`
    const total = BigInt(seconds) * 1_000_000_000n + BigInt(rest) + nanoseconds();
    return [Number(total / 1_000_000_000n), Number(total % 1_000_000_000n)];
  };
  hrtime.bigint = () => real.hrtimeBigint() + nanoseconds();
  process.hrtime = hrtime;
  process.uptime = () => real.uptime() + moved.since / 1000;
  replace(Object.getPrototypeOf(performance), "now", () => now());
}

// ------------------------------------------------------------------------------------------------- the clock of the run

/**
 * Take the offset that the run has sent. The first one tells where this process begins: what was moved before it is
 * no time that passed in it, and would end its waits.
 */
function takeOffset(milliseconds, configuration) {
  firstOffset ??= milliseconds;
  if (milliseconds - firstOffset <= moved.since) return;
  moved.since = milliseconds - firstOffset;
  // A process that this one starts shows the same time from its first line on.
  process.env.KLING_CONTRACT_RUN = JSON.stringify({ ...configuration, offset: (moved.before + moved.since) / 1000 });
  startAnew();
}

/** Do what a line from the run says. */
function receive(line, configuration) {
  const message = JSON.parse(line);
  if (message.offset !== undefined) takeOffset(message.offset * 1000, configuration);
  if (message.ask !== undefined) answer(message.ask);
}

/** Connect to the run. The connection never keeps the process alive; when it ends, time goes on being real. */
function connect(configuration) {
  let received = "";
  connection = net.connect({ host: "127.0.0.1", port: configuration.port }).unref().setNoDelay().setEncoding("utf8");
  connection.write(`KLING-PACE ${JSON.stringify({ pid: process.pid })}\n`);
  connection.on("data", (text) => {
    const lines = (received + text).split("\n");
    received = lines.pop();
    for (const line of lines) receive(line, configuration);
  });
  connection.on("error", () => {}).on("close", () => (connection = null));
}

/**
 * Let time in this process follow the clock of the run.
 * @param {{port: number, offset?: number}} configuration `offset`: seconds moved when this process was started
 */
function follow(configuration) {
  moved.before = (configuration.offset ?? 0) * 1000;
  connect(configuration);
  replaceWaits();
  replaceDate(globalThis);
  replaceDateInContexts();
  replaceCounters();
}

module.exports = { follow };

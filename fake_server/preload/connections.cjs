/**
 * Connections of this process: those to the API lead to the port of the run, those to other machines may be refused.
 *
 * `net.Socket.prototype.connect` and `tls.connect` are the two doors that every client of Node goes through: fetch,
 * undici, http, https, http2 and all that is built upon them, with an agent of their own or without.
 */
"use strict";

const { readFileSync } = require("node:fs");
const net = require("node:net");
const { constants } = require("node:os");
const tls = require("node:tls");

const LOCALHOST = "127.0.0.1";
const HTTP1 = "http/1.1";

const connectSocket = net.Socket.prototype.connect;
const connectTls = tls.connect;

const loopback = new net.BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("0.0.0.0", "ipv4");
loopback.addAddress("::1", "ipv6");
loopback.addAddress("::", "ipv6");

/** A host as a program wrote it, in the form in which hosts are compared: lower case, no brackets, no last dot. */
function plainHost(host) {
  return String(host || "localhost")
    .toLowerCase()
    .replace(/^\[|\]$/g, "")
    .replace(/%.*$/, "")
    .replace(/\.$/, "");
}

/** Whether a host is this machine itself. */
function isLoopback(host) {
  if (net.isIP(host)) return loopback.check(host, net.isIPv6(host) ? "ipv6" : "ipv4");
  return host === "localhost" || host.endsWith(".localhost");
}

/** HOST:PORT, with brackets around an IPv6 address. */
function address(host, port) {
  return net.isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether the first argument of a connect function is the path of a Unix socket: any text that is not a number. */
function isPath(argument) {
  return typeof argument === "string" && !(Number(argument) >= 0);
}

/** The options and the callback of a call of `net.connect`, `Socket.connect` or `tls.connect`, in any of their forms. */
function argumentsOfConnect(args) {
  if (Array.isArray(args[0])) return args[0]; // Node's own calls bring options and callback in one array
  const callback = typeof args.at(-1) === "function" ? args.at(-1) : null;
  const [first, second] = args;
  if (typeof first === "object" && first !== null) return [{ ...first }, callback];
  const options = isPath(first) ? { path: first } : { port: first };
  if (!isPath(first) && typeof second === "string") options.host = second;
  return [Object.assign(options, args.slice(1, 3).find((argument) => typeof argument === "object")), callback];
}

/** The protocols of `ALPNProtocols` as texts: Node takes a list, or one buffer in the form it has on the wire. */
function protocolNames(protocols) {
  if (Array.isArray(protocols)) return protocols.map((name) => (typeof name === "string" ? name : Buffer.from(name).toString()));
  const bytes = Buffer.from(protocols.buffer, protocols.byteOffset, protocols.byteLength);
  const names = [];
  for (let at = 0; at < bytes.length; at += 1 + bytes[at]) names.push(bytes.toString("latin1", at + 1, at + 1 + bytes[at]));
  return names;
}

/** The error of a connection that was refused, as the operating system would have it. */
function refusal(host, port, why) {
  return Object.assign(new Error(`connect ECONNREFUSED ${address(host, port)} (kling-contract run: ${why})`), {
    errno: -constants.errno.ECONNREFUSED,
    code: "ECONNREFUSED",
    syscall: "connect",
    address: host,
    port,
  });
}

/**
 * Lead the connections of this process: to the port of the run, past it, or nowhere.
 * @param {{hosts: string[], domain: string, port: number, authority: string, allow: string[], refuse_others: boolean}} run
 */
function redirect({ hosts, domain, port: portOfRun, authority: authorityFile, allow, refuse_others: refuseOthers }) {
  let certificate = null;
  const ours = new Set(hosts.map(plainHost));
  const allowed = new Set(allow.map((entry) => entry.toLowerCase()));

  /** The certificate of the authority, read when first needed: a process may outlive the run and its files. */
  const authority = () => (certificate ??= readFileSync(authorityFile, "utf8"));

  /** Whether the run answers for a host. */
  const isOurs = (host) => ours.has(host) || (domain && (host === domain || host.endsWith(`.${domain}`)));
  const isAllowed = (host, port) => allowed.has(host) || allowed.has(address(host, port));

  /** The host a connection is for: a program that looked its address up by itself still names it for TLS. */
  function hostOf(options) {
    const host = plainHost(options.host);
    const servername = options.servername && plainHost(options.servername);
    return servername && net.isIP(host) && !isLoopback(host) && isOurs(servername) ? servername : host;
  }

  /** Tell the port of the run which connection is refused, then fail the socket. */
  function refuse(socket, host, port) {
    socket.connecting = true; // what is written before the end must wait, as it does for any connection under way
    const fail = () => socket.destroy(refusal(host, port, `not allowed; --allow ${address(host, port)} lets it through`));
    const notice = new net.Socket();
    notice.on("error", () => {}).once("close", fail).resume();
    connectSocket.call(notice, { host: LOCALHOST, port: portOfRun });
    notice.end(`KLING-REFUSED ${address(host, port)}\n`);
    return socket;
  }

  net.Socket.prototype.connect = function connect(...args) {
    const [options, callback] = argumentsOfConnect(args);
    if (options.path) return connectSocket.apply(this, args);
    const host = hostOf(options);
    if (isOurs(host)) {
      // The address is known: what else a program says about finding one, or one of its own, must not get in the way.
      const direct = { host: LOCALHOST, port: portOfRun, family: 4, autoSelectFamily: false, lookup: undefined };
      const unbound = { localAddress: undefined, localPort: undefined, blockList: undefined };
      connectSocket.call(this, { ...options, ...direct, ...unbound }, callback);
      this._host = host; // where Node keeps the name for a TLS connection over this socket that gives none
      return this;
    }
    if (refuseOthers && !isLoopback(host) && !isAllowed(host, options.port)) return refuse(this, host, options.port);
    return connectSocket.apply(this, args);
  };

  /** The options of a TLS connection to the port of the run: it is trusted too, and it speaks HTTP/1.1 only. */
  function trusting(options, name) {
    const trusted = { ...options, ca: [options.ca ?? []].flat().concat(authority()) };
    if (!options.servername) trusted.servername = name;
    options.secureContext?.context.addCACert(authority());
    if (options.ALPNProtocols) trusted.ALPNProtocols = protocolNames(options.ALPNProtocols).filter((each) => each === HTTP1);
    return trusted;
  }

  tls.connect = function connect(...args) {
    const [options, callback] = argumentsOfConnect(args);
    const name = [options.servername, options.host, options.socket?._host].filter(Boolean).map(plainHost).find(isOurs);
    const isUnix = options.path && !options.socket;
    if (isUnix || name === undefined) return connectTls.apply(this, args);
    const trusted = trusting(options, name);
    if (options.ALPNProtocols && trusted.ALPNProtocols.length === 0) return refuseProtocol(name, options);
    return callback ? connectTls.call(this, trusted, callback) : connectTls.call(this, trusted);
  };

  /** A socket that fails at once, for a program that speaks nothing the port understands. */
  function refuseProtocol(name, options) {
    const socket = new tls.TLSSocket(new net.Socket());
    const asked = protocolNames(options.ALPNProtocols).join(", ");
    const error = refusal(name, options.port ?? 443, `it answers ${HTTP1}, and this program speaks only ${asked}`);
    process.nextTick(() => socket.destroy(error));
    return socket;
  }
}

module.exports = { redirect };

// Gives a page's programs ports of their own: whoever listens on 8080 gets a free port and is told that it is 8080, and
// whoever connects to 8080 comes to that one. Loaded into every Node of the page (`--import`); `curl` and Python do the
// same in `curl.sh` and `sitecustomize.py`. The folder OWN_PORTS has a file for each port: `8080` holds
// `<real port> <process id> <run>`, the last being OWN_PORTS_RUN, which `terminal.ts` gives to each program it starts.
//
// PROVIDER_HOSTS is a port and the names of the providers' hosts, which are all there: see `provider-hosts.ts`.
import dns from 'node:dns';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isIP, Server, Socket } from 'node:net';

const FOLDER = process.env.OWN_PORTS;
const RUN = process.env.OWN_PORTS_RUN ?? 'none';
/** The system gives out ports from here on; those that documents write are below. */
const FIRST_HIGH = 32768;
/** Nobody listens on it. */
const CLOSED = 1;
const LOOPBACK = '127.0.0.1';
const [providerPort, ...providerNames] = (process.env.PROVIDER_HOSTS ?? '').split(' ');
/** Of every provider's host; one for documentation (RFC 5737). */
const PROVIDER_ADDRESS = '192.0.2.1';
/** Names of one machine or of a page's own network (`wakala`, `wakala.internal`) are this machine. */
const isHere = (host) => !/[.:]/.test(host) || /^127\.|^\[?::1?\]?$|^0\.0\.0\.0$|\.internal$/.test(host);
const isWritten = (port) => port > 0 && port < FIRST_HIGH;

function holderOf(port) {
  try {
    const [real, pid, run] = readFileSync(`${FOLDER}/${port}`, 'utf8').split(' ');
    return { real: Number(real), pid: Number(pid), run };
  } catch {
    return undefined;
  }
}

const { listen, address } = Server.prototype;
const written = Symbol('the address as it was asked for');

Server.prototype.listen = function (...args) {
  const [first] = args;
  const options = typeof first === 'object' && first !== null ? first : { port: first, host: args[1] };
  const port = Number(options.port);
  if (options.path !== undefined || !Number.isInteger(port) || options.fd !== undefined)
    return listen.apply(this, args);
  const host = typeof options.host === 'string' ? options.host : '0.0.0.0';
  if (isWritten(port)) {
    this[written] = { address: host === 'localhost' ? LOOPBACK : host, family: 'IPv4', port };
    const { pid, run } = holderOf(port) ?? {};
    if (pid !== undefined && run !== RUN) endProcess(pid);
  }
  this.prependOnceListener('listening', () => {
    const { port: real } = address.call(this);
    const name = isWritten(port) ? port : real;
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(`${FOLDER}/${name}`, `${real} ${process.pid} ${RUN}`);
    // Some listen only to see whether they may.
    this.once('close', () => holderOf(name)?.real === real && rmSync(`${FOLDER}/${name}`, { force: true }));
  });
  const rest = args.filter((arg) => typeof arg === 'function');
  return listen.call(this, { ...options, port: isWritten(port) ? 0 : port, host: LOOPBACK }, ...rest);
};

Server.prototype.address = function () {
  const real = address.call(this);
  return real === null ? null : (this[written] ?? real);
};

function endProcess(pid) {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It is gone already.
  }
}

const { connect } = Socket.prototype;

Socket.prototype.connect = function (...args) {
  // `net.connect` passes its own array of options and callback.
  const [first, ...rest] = args;
  if (Array.isArray(first)) {
    first[0] = ownAddress(first[0]);
    return connect.call(this, first);
  }
  if (typeof first === 'object' && first !== null) return connect.call(this, ownAddress(first), ...rest);
  const host = typeof rest[0] === 'string' ? rest.shift() : undefined;
  return connect.call(this, ownAddress({ port: first, host }), ...rest);
};

/** Elsewhere than on this page nobody is reached: a document's commands need no network. */
function ownAddress(options) {
  const port = Number(options.port);
  if (options.path || !Number.isInteger(port)) return options;
  const host = options.host ?? 'localhost';
  if (port === 443 && (host === PROVIDER_ADDRESS || providerNames.includes(host)))
    return { ...options, host: LOOPBACK, port: Number(providerPort) };
  if (!isHere(host)) return { ...options, host: LOOPBACK, port: CLOSED };
  if (!isWritten(port)) return options;
  return { ...options, host: LOOPBACK, port: holderOf(port)?.real ?? CLOSED };
}

const { lookup } = dns;
const { lookup: lookupLater } = dns.promises;

dns.lookup = function (name, options, callback = options) {
  const own = ownName(name);
  if (own === undefined) return lookup(name, options, callback);
  process.nextTick(() => {
    if (own instanceof Error) callback(own);
    else if (options.all) callback(null, [own]);
    else callback(null, own.address, own.family);
  });
};

dns.promises.lookup = async function (name, options) {
  const own = ownName(name);
  if (own instanceof Error) throw own;
  if (own === undefined) return await lookupLater(name, options);
  return options?.all ? [own] : own;
};
syncBuiltinESMExports();

/** Where a name leads to on this page; undefined for what needs no DNS. */
function ownName(name) {
  if (isIP(name) || name === 'localhost') return undefined;
  if (isHere(name)) return { address: LOOPBACK, family: 4 };
  if (providerNames.includes(name)) return { address: PROVIDER_ADDRESS, family: 4 };
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND', hostname: name });
}

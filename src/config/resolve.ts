import { isIPv6 } from 'node:net';
import { availableParallelism } from 'node:os';
import { isLoopbackName } from '../http/ip-address.ts';
import { Secret } from '../secret.ts';
import type { Client, Config, ListenAddress, RouteConfig, TokenStoreConfig, Tracing } from './config.ts';
import { type Diagnostics, didYouMean } from './diagnostics.ts';
import { checkFileModes, type Files } from './files.ts';
import type { Interpolation } from './interpolate.ts';
import { CLIENT_KEY_LENGTH, type ConfigInput, MIN_ENCRYPTION_KEY_LENGTH } from './schema.ts';
import type { Path } from './source.ts';
import { readTls } from './tls.ts';
import { checkLoop, formatAddress, isHostName, overlaps, type OwnListeners } from './values.ts';

/** The entries of `allowed_hosts`: host names, each with a port or without. */
function readHosts(path: Path, hosts: readonly string[], report: Diagnostics): string[] {
  return hosts.map((host, i) => {
    if (!isHost(host)) {
      const url = URL.parse(host.includes('://') ? host : `http://${host}`);
      const text = 'must be a host name such as `wakala.internal` or `wakala.internal:8080`, without scheme or path';
      report.problem([...path, i], `${text}${hint([...path, i], url?.host, isHost, report)}`);
    }
    return host.toLowerCase();
  });
}

/** The entries of `allowed_origins`, as browsers write them. */
function readOrigins(path: Path, origins: readonly string[], report: Diagnostics): string[] {
  return origins.map((origin, i) => {
    if (!isOrigin(origin)) {
      const scheme = isLoopbackName(origin.split(/[:/]/, 1)[0] ?? '') ? 'http' : 'https';
      const url = URL.parse(origin.includes('://') ? origin : `${scheme}://${origin}`);
      const text = 'must be an origin such as `https://app.example`, without path, trailing `/` or `*`';
      const meant = origin === 'null' ? undefined : url?.origin;
      report.problem([...path, i], `${text}${hint([...path, i], meant, isOrigin, report)}`);
    }
    return URL.parse(origin)?.origin ?? origin;
  });
}

function isHost(text: string): boolean {
  const [, inBrackets, plain = '', port = '0'] = /^(?:\[([^\]]*)\]|([^:]*))(?::([0-9]+))?$/.exec(text) ?? [];
  const named = inBrackets === undefined ? isHostName(plain) : isIPv6(inBrackets);
  return named && Number(port) <= 65_535;
}

function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:\/\/[^/?#@\\\s]+$/i.test(text) && isHost(url.host);
}

/** What to write instead, unless that would show a value from elsewhere. */
function hint(path: Path, meant: string | undefined, fits: (text: string) => boolean, report: Diagnostics): string {
  const shown = meant !== undefined && fits(meant) && !report.isInterpolated(path);
  return shown ? `; write \`${meant}\`` : '';
}

/** An address that others can reach needs a word on who may call. */
function checkAccess(input: ConfigInput, listen: ListenAddress, report: Diagnostics): void {
  const bad = (key: string) => report.isSilenced([key]);
  if (input.open && input.clients !== undefined) {
    report.problem(['open'], '`open: true` contradicts `clients`; keep one of them');
  }
  if (isLoopbackName(listen.host) || input.open || input.clients !== undefined) return;
  if (bad('open') || bad('clients') || bad('listen') || asksForCertificates(input, report)) return;
  const reach = `anyone who can reach ${formatAddress(listen)} could spend with your credentials`;
  const remedies = [
    'name who may call under `clients`',
    'ask for client certificates with `listen: {address, tls: {cert, key, client_ca}}`',
    'say `open: true` if that is meant',
    'or listen on 127.0.0.1',
  ];
  report.problem(['listen'], `${reach}; ${remedies.join(', ')}`);
}

/** Whether callers are known by their certificates; also if that was meant, and what was said is bad. */
function asksForCertificates(input: ConfigInput, report: Diagnostics): boolean {
  return input.listen.tls?.client_ca !== undefined || report.isSilenced(['listen', 'tls', 'client_ca']);
}

function readClients(input: ConfigInput, report: Diagnostics): Client[] {
  const names = new Set<string>();
  const keys = new Set<string>();
  const routes = report.keysAt(['routes']);
  return (input.clients ?? []).map((client, i) => {
    const path: Path = ['clients', i];
    const { name, key } = client;
    if (name === undefined) report.problem(path, '`name` is missing', 'name');
    else checkName([...path, 'name'], name, names, report);
    if (key !== undefined) checkKey([...path, 'key'], key, keys, report);
    else if (!asksForCertificates(input, report)) {
      const other = 'only with `listen.tls.client_ca` a client may do without';
      report.problem(path, `\`key\` is missing; the client sends it as its bearer token (${other})`, 'key');
    }
    client.routes?.forEach((route, j) => {
      if (routes.includes(route)) return;
      const at = [...path, 'routes', j];
      const guess = report.isInterpolated(at) ? '' : didYouMean(route, routes);
      report.problem(at, `there is no route ${report.quoted(at, route)}${guess}`);
    });
    return { name: name ?? '', key: key === undefined ? undefined : new Secret(key), routes: client.routes };
  });
}

function checkName(path: Path, name: string, seen: Set<string>, report: Diagnostics): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
    report.problem(path, 'must be 1 to 64 letters, digits, `.`, `_` or `-`, the first a letter or digit');
  } else if (seen.has(name)) {
    report.problem(path, `another client is named ${report.quoted(path, name)} already`);
  }
  seen.add(name);
}

function checkKey(path: Path, key: string, seen: Set<string>, report: Diagnostics): void {
  const fault = bearerError(key);
  if (fault !== undefined) report.problem(path, fault);
  else if (seen.has(key)) report.problem(path, 'is the key of another client already; give each its own');
  seen.add(key);
}

/** Why this cannot be what a caller proves itself with; undefined if it can. */
function bearerError(key: string): string | undefined {
  const { min, max } = CLIENT_KEY_LENGTH;
  if (key.length < min) return `is too short: at least ${min} characters, e.g. from \`openssl rand -hex 32\``;
  if (key.length > max) return `is too long: at most ${max} characters`;
  if (/^[!-~]*$/.test(key)) return undefined;
  return 'holds a space, a line break or a character beyond ASCII, which no bearer token can';
}

/** Where replicas share their tokens, and what they seal them with. */
function readTokenStore({ token_store: input }: ConfigInput, report: Diagnostics): TokenStoreConfig | undefined {
  if (input === undefined) return undefined;
  const path: Path = ['token_store'];
  const fault = urlFault(input.redis);
  if (fault !== undefined) report.problem([...path, 'redis'], fault);
  else warnOfClearText([...path, 'redis'], input.redis, report);
  const previous = input.previous_keys ?? [];
  const keys: [string, ...string[]] = [input.encryption_key, ...previous];
  keys.forEach((key, i) => {
    const at = i === 0 ? [...path, 'encryption_key'] : [...path, 'previous_keys', i - 1];
    const min = MIN_ENCRYPTION_KEY_LENGTH;
    if (key.length < min)
      report.problem(at, `is too short: at least ${min} characters, e.g. from \`openssl rand -hex 32\``);
    else if (keys.indexOf(key) < i) report.problem(at, 'is listed already');
  });
  const [current, ...others] = keys;
  return { url: new Secret(input.redis), keys: [new Secret(current), ...others.map((key) => new Secret(key))] };
}

/** The password goes over such a connection as it is; the tokens are sealed. */
function warnOfClearText(path: Path, text: string, report: Diagnostics): void {
  const url = URL.parse(text);
  if (url === null || url.protocol === 'rediss:' || isLoopbackName(url.hostname)) return;
  report.warn(path, 'is not encrypted on its way: whoever is in between sees its password; use `rediss://`');
}

function urlFault(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'redis:' && url.protocol !== 'rediss:') || url.hostname === '') {
    return 'must be `redis://host:6379` or `rediss://user:password@host:6379/0`';
  }
  if (!/^(\/\d*)?$/.test(url.pathname)) return 'may have the number of a database for its path, and nothing else';
  return url.search === '' && url.hash === '' ? undefined : 'must hold no query (`?...`) and no fragment (`#...`)';
}

/** Where traces go. */
function readTracing({ tracing: input }: ConfigInput, report: Diagnostics): Tracing | undefined {
  if (input === undefined) return undefined;
  const path: Path = ['tracing', 'otlp'];
  const url = URL.parse(input.otlp);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '') {
    report.problem(path, 'must be the URL of a collector such as `http://127.0.0.1:4318`, without user name');
    return undefined;
  }
  if (url.search !== '' || url.hash !== '')
    report.problem(path, 'must hold no query (`?...`) and no fragment (`#...`)');
  if (url.protocol === 'http:' && !isLoopbackName(url.hostname)) {
    report.warn(path, 'is not encrypted on its way: whoever is in between sees paths and times; use `https://`');
  }
  // As the variables of OpenTelemetry have it, the path of the signal comes behind; some write it all the same.
  return { otlp: `${url.origin}${url.pathname}`.replace(/(?<!\/)\/+$/, '').replace(/\/v1\/traces$/, '') };
}

interface ResolveOptions {
  readonly routes: readonly RouteConfig[];
  readonly interpolation: Interpolation;
  readonly files: Files;
  readonly emulated: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** In place of the file's, as from the command line. */
  readonly listen: ListenAddress | undefined;
  readonly admin: ListenAddress | false | undefined;
}

/** The whole configuration. It is good only if `report` has no problems afterwards. */
export function resolveConfig(file: string, input: ConfigInput, report: Diagnostics, options: ResolveOptions): Config {
  const { routes, interpolation, emulated, files, now } = options;
  const listen = options.listen ?? input.listen.address;
  const admin = (options.admin ?? (input.admin && input.admin.address)) || undefined;
  const tls = input.listen.tls && readTls(input.listen.tls, { input, report, files, emulated, now });
  const clients = readClients(input, report);
  const adminToken = readAdminToken(input, report);
  const tokenStore = readTokenStore(input, report);
  checkAccess(input, listen, report);
  checkFileModes(file, interpolation.fileReferences, { input, report, files, emulated });
  if (!emulated) checkLoops(input, { listen, admin }, report);
  if (admin !== undefined && overlaps(listen, admin)) {
    report.problem(['admin'], `is on the same port as \`listen\` (${formatAddress(listen)}); choose another`);
  }
  return {
    file,
    listen,
    tls,
    admin,
    adminToken: admin && adminToken,
    environment: input.environment,
    routes,
    clients,
    open: input.open,
    allowedHosts: readHosts(['allowed_hosts'], input.allowed_hosts ?? [], report),
    allowedOrigins: readOrigins(['allowed_origins'], input.allowed_origins ?? [], report),
    workers: emulated ? 1 : input.workers === 'auto' ? availableParallelism() : input.workers,
    // Emulated providers are this process's own.
    tokenStore: emulated ? undefined : tokenStore,
    maxConnections: input.max_connections,
    drainTimeoutMs: input.drain_timeout,
    log: { ...input.log, requests: input.log.requests ?? emulated },
    tracing: readTracing(input, report),
  };
}

function readAdminToken({ admin }: ConfigInput, report: Diagnostics): Secret | undefined {
  const token = admin === false ? undefined : admin.token;
  const fault = token === undefined ? undefined : bearerError(token);
  if (fault !== undefined) report.problem(['admin', 'token'], fault);
  return token === undefined ? undefined : new Secret(token);
}

/** Emulated routes lead elsewhere, whatever the file says. */
function checkLoops(input: ConfigInput, own: OwnListeners, report: Diagnostics): void {
  for (const [name, { upstream, auth_server, oauth2, token }] of Object.entries(input.routes)) {
    const check = (path: Path, url: string | undefined) => checkLoop(['routes', name, ...path], url, own, report);
    check(['upstream'], upstream);
    check(['auth_server'], auth_server);
    check(['oauth2', 'issuer'], oauth2?.issuer);
    check(['oauth2', 'token_endpoint'], oauth2?.token_endpoint);
    check(['token', 'request', 'url'], token?.request?.url);
    check(['token', 'refresh', 'request', 'url'], token?.refresh?.request?.url);
  }
}

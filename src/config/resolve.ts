import { availableParallelism } from 'node:os';
import { formatHostPort } from '../http/host-port.ts';
import { isLoopbackName } from '../http/ip-address.ts';
import { grantedRefreshToken, isRequested } from '../providers/provider.ts';
import { Secret } from '../secret.ts';
import type { Client, Config, ListenAddress, RouteConfig, Tracing } from './config.ts';
import { type Diagnostics, didYouMean } from './diagnostics.ts';
import { checkFileModes, type Files } from './disk.ts';
import type { Interpolation } from './interpolate.ts';
import { readTokenStore } from './resolve-token-store.ts';
import { CLIENT_KEY_LENGTH, type ConfigInput } from './schema.ts';
import { tokenBlock } from './schema-route.ts';
import type { Path } from './source.ts';
import { readListenerTls } from './tls.ts';
import { checkLoop, isHost, overlaps, type OwnListeners } from './values.ts';

interface ResolveOptions {
  readonly routes: readonly RouteConfig[];
  readonly interpolation: Interpolation;
  readonly files: Files;
  readonly emulated: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
  /** From the command line, in place of the file's. */
  readonly listen: ListenAddress | undefined;
  readonly admin: ListenAddress | false | undefined;
}

/** The whole configuration. Use it only if `report` has no problems afterwards. */
export function resolveConfig(file: string, input: ConfigInput, report: Diagnostics, options: ResolveOptions): Config {
  const { routes, interpolation, emulated, files, nowMs } = options;
  const listen = options.listen ?? input.listen.address;
  const admin = (options.admin ?? (input.admin && input.admin.address)) || undefined;
  const tls = input.listen.tls && readListenerTls(input.listen.tls, { input, report, files, emulated, nowMs });
  const clients = readClients(input, report);
  const adminToken = readAdminToken(input, report);
  const tokenStore = readTokenStore(input, { input, report, files, emulated, nowMs });
  if (!emulated && tokenStore === undefined) warnOfRotation(routes, report);
  checkAccess(input, listen, report);
  checkFileModes(file, interpolation.fileReferences, { input, report, files, emulated });
  if (!emulated) checkLoops(input, { listen, admin }, report);
  if (admin !== undefined && overlaps(listen, admin)) {
    report.problem(['admin'], `is on the same port as \`listen\` (${formatHostPort(listen)}); choose another`);
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
    // Each process emulates its own providers, so there is nothing to share.
    tokenStore: emulated ? undefined : tokenStore,
    maxConnections: input.max_connections,
    keepAliveTimeoutMs: input.keep_alive_timeout,
    drainTimeoutMs: input.drain_timeout,
    log: { ...input.log, requests: input.log.requests ?? emulated },
    tracing: readTracing(input, report),
  };
}

/** The entries of `allowed_hosts`, in lower case: host names, with or without a port. */
function readHosts(path: Path, hosts: readonly string[], report: Diagnostics): string[] {
  return hosts.map((host, i) => {
    if (!isHost(host)) {
      const url = URL.parse(host.includes('://') ? host : `http://${host}`);
      const text = 'must be a host name such as `wakala.internal` or `wakala.internal:8080`, without scheme or path';
      report.problem([...path, i], `${text}${suggestionFor([...path, i], url?.host, isHost, report)}`);
    }
    return host.toLowerCase();
  });
}

/** The entries of `allowed_origins`, as browsers send them. */
function readOrigins(path: Path, origins: readonly string[], report: Diagnostics): string[] {
  return origins.map((origin, i) => {
    if (!isOrigin(origin)) {
      const scheme = isLoopbackName(origin.split(/[:/]/, 1)[0] ?? '') ? 'http' : 'https';
      const url = URL.parse(origin.includes('://') ? origin : `${scheme}://${origin}`);
      const text = 'must be an origin such as `https://app.example`, without path, trailing `/` or `*`';
      const suggestion = origin === 'null' ? undefined : url?.origin;
      report.problem([...path, i], `${text}${suggestionFor([...path, i], suggestion, isOrigin, report)}`);
    }
    return URL.parse(origin)?.origin ?? origin;
  });
}

function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:\/\/[^/?#@\\\s]+$/i.test(text) && isHost(url.host);
}

/** What to write instead. Empty for a value from `${...}`, which is not shown. */
function suggestionFor(
  path: Path,
  suggestion: string | undefined,
  isValid: (text: string) => boolean,
  report: Diagnostics,
): string {
  const isShown = suggestion !== undefined && isValid(suggestion) && !report.isInterpolated(path);
  return isShown ? `; write \`${suggestion}\`` : '';
}

/** Reports an address that other machines can reach if the file does not say who may call. */
function checkAccess(input: ConfigInput, listen: ListenAddress, report: Diagnostics): void {
  if (input.open && input.clients !== undefined) {
    report.problem(['open'], '`open: true` contradicts `clients`; keep one of them');
  }
  if (isLoopbackName(listen.host) || input.open || input.clients !== undefined) return;
  if (['open', 'clients', 'listen'].some((key) => report.isSilenced([key]))) return;
  if (requiresCertificates(input, report)) return;
  const reach = `anyone who can reach ${formatHostPort(listen)} could spend with your credentials`;
  const remedies = [
    'list the callers under `clients`',
    'require client certificates with `listen: {address, tls: {cert, key, client_ca}}`',
    'set `open: true` to allow everyone',
    'or listen on 127.0.0.1',
  ];
  report.problem(['listen'], `${reach}; ${remedies.join(', ')}`);
}

/** Whether callers must have certificates; also if the `client_ca` of the file is invalid. */
function requiresCertificates(input: ConfigInput, report: Diagnostics): boolean {
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
    else if (!requiresCertificates(input, report)) {
      const text =
        '`key` is missing; add the bearer token of the client, or require certificates with `listen.tls.client_ca`';
      report.problem(path, text, 'key');
    }
    client.routes?.forEach((route, j) => {
      if (routes.includes(route)) return;
      const at = [...path, 'routes', j];
      const guess = report.isInterpolated(at) ? '' : didYouMean(route, routes);
      report.problem(at, `unknown route${report.quoted(at, route)}${guess}`);
    });
    return { name: name ?? '', key: key === undefined ? undefined : new Secret(key), routes: client.routes };
  });
}

function checkName(path: Path, name: string, seen: Set<string>, report: Diagnostics): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
    report.problem(path, 'must be 1 to 64 letters, digits, `.`, `_` or `-`, and start with a letter or a digit');
  } else if (seen.has(name)) {
    report.problem(path, 'another client has this name already; choose another');
  }
  seen.add(name);
}

function checkKey(path: Path, key: string, seen: Set<string>, report: Diagnostics): void {
  const error = bearerError(key);
  if (error !== undefined) report.problem(path, error);
  else if (seen.has(key)) report.problem(path, 'is also the key of another client; give each client a different key');
  seen.add(key);
}

/** What is wrong with a bearer token that callers send; undefined if nothing is. */
function bearerError(key: string): string | undefined {
  const { min, max } = CLIENT_KEY_LENGTH;
  if (key.length < min) return `is shorter than ${min} characters; make one with \`openssl rand -hex 32\``;
  if (key.length > max) return `is longer than ${max} characters; make one with \`openssl rand -hex 32\``;
  if (/^[!-~]*$/.test(key)) return undefined;
  return 'contains a space, a line break or a character beyond ASCII, which a bearer token cannot';
}

/** Warns of a refresh token in the file that a server may replace. Without a token store, a restart loses the new one. */
function warnOfRotation(routes: readonly RouteConfig[], report: Diagnostics): void {
  for (const { name, provider } of routes) {
    const { token, refresh } = provider;
    if (refresh === undefined || !isRequested(token) || grantedRefreshToken(token.request) === undefined) continue;
    const path: Path = ['routes', name, ...(token.request.oauth2 ? ['oauth2', 'refresh_token'] : ['token', 'request'])];
    const text =
      'if the server issues a new refresh token with each token, the newest one is lost at a restart, and this one is ' +
      'refused; add `token_store`, which keeps it';
    report.warn(path, text);
  }
}

function readTracing({ tracing: input }: ConfigInput, report: Diagnostics): Tracing | undefined {
  if (input === undefined) return undefined;
  const path: Path = ['tracing', 'otlp'];
  const url = URL.parse(input.otlp);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '') {
    report.problem(path, 'must be the URL of a collector such as `http://127.0.0.1:4318`, without a user name');
    return undefined;
  }
  if (url.search !== '' || url.hash !== '')
    report.problem(path, 'must not contain a query (`?...`) or a fragment (`#...`)');
  if (url.protocol === 'http:' && !isLoopbackName(url.hostname)) {
    report.warn(path, 'sends paths and times of requests unencrypted; use `https://`');
  }
  // As with OTEL_EXPORTER_OTLP_ENDPOINT, the exporter appends the path of the signal. Accept a URL that has it already.
  return { otlp: `${url.origin}${url.pathname}`.replace(/(?<!\/)\/+$/, '').replace(/\/v1\/traces$/, '') };
}

function readAdminToken({ admin }: ConfigInput, report: Diagnostics): Secret | undefined {
  const token = admin === false ? undefined : admin.token;
  const error = token === undefined ? undefined : bearerError(token);
  if (error !== undefined) report.problem(['admin', 'token'], error);
  return token === undefined ? undefined : new Secret(token);
}

/** Reports URLs that lead back to this process. Not for emulated routes: their URLs are replaced. */
function checkLoops(input: ConfigInput, own: OwnListeners, report: Diagnostics): void {
  for (const [name, route] of Object.entries(input.routes)) {
    const { upstream, auth_server, oauth2 } = route;
    const token = tokenBlock(route);
    const check = (path: Path, url: string | undefined) => checkLoop(['routes', name, ...path], url, own, report);
    check(['upstream'], upstream);
    check(['auth_server'], auth_server);
    check(['oauth2', 'issuer'], oauth2?.issuer);
    check(['oauth2', 'token_endpoint'], oauth2?.token_endpoint);
    check(['token', 'request', 'url'], token?.request?.url);
    check(['token', 'refresh', 'request', 'url'], token?.refresh?.request?.url);
  }
}

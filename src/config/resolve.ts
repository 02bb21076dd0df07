import { collide, formatAddress, isHostName, parseAddress } from './address.ts';
import { isLoopbackName } from '../loopback.ts';
import { Secret } from '../secret.ts';
import type { Client, Config, ListenAddress, Route } from './config.ts';
import { BOUNDS, DEFAULTS } from './defaults.ts';
import type { SegmentsByPath } from './interpolate.ts';
import { didYouMean } from './nearest.ts';
import type { Report } from './problems.ts';
import { resolveRoute } from './resolve-route.ts';
import type { ClientInput, ConfigInput } from './schema.ts';
import type { Path } from './tree.ts';
import { parseDuration } from './units.ts';

export interface ResolveOptions {
  readonly segments: SegmentsByPath;
  readonly emulated: boolean;
  /** In place of the file's, as from the command line. */
  readonly listen: ListenAddress | undefined;
  readonly admin: ListenAddress | false | undefined;
}

/** The whole configuration with defaults filled in. It is good only if `report` has no problems afterwards. */
export function resolveConfig(file: string, input: ConfigInput, report: Report, options: ResolveOptions): Config {
  const environment = input.environment ?? DEFAULTS.environment;
  const routes = resolveRoutes(input, report, { ...options, environment, report });
  const listen = options.listen ?? input.listen ?? addressOf(DEFAULTS.listen);
  const admin = options.admin ?? input.admin ?? addressOf(DEFAULTS.admin);
  const clients = readClients(input.clients ?? [], report);
  checkAccess(input, listen, report);
  if (admin !== false && collide(listen, admin)) {
    report.problem(['admin'], `is on the same port as \`listen\` (${formatAddress(listen)}); choose another`);
  }
  return {
    file,
    listen,
    admin: admin === false ? undefined : admin,
    environment,
    routes,
    clients,
    open: input.open ?? false,
    allowedHosts: readHosts(['allowed_hosts'], input.allowed_hosts ?? [], report),
    allowedOrigins: readOrigins(['allowed_origins'], input.allowed_origins ?? [], report),
    maxConnections: input.max_connections,
    drainTimeoutMs: input.drain_timeout ?? parseDuration(DEFAULTS.drain_timeout) ?? 0,
    log: { level: input.log?.level ?? 'info', format: input.log?.format ?? 'auto' },
  };
}

function addressOf(text: string): ListenAddress {
  const parsed = parseAddress(text);
  if ('problem' in parsed) throw new Error(`not an address: ${text}`);
  return parsed.value;
}

function resolveRoutes(input: ConfigInput, report: Report, resolving: Parameters<typeof resolveRoute>[2]): Route[] {
  const entries = Object.entries(input.routes);
  if (report.keysAt(['routes']).length === 0) {
    report.problem(['routes'], 'is empty; name at least one, such as `/mpesa/*`, or see `wakala init`');
  }
  return entries.flatMap(([name, route]) => {
    const resolved = resolveRoute(name, route, resolving);
    if (resolved === undefined) report.undefer(['routes', name]);
    return resolved ?? [];
  });
}

function checkAccess(input: ConfigInput, listen: ListenAddress, report: Report): void {
  const bad = (key: string) => report.isSilenced([key]);
  if (input.open === true && input.clients !== undefined) {
    report.problem(['open'], '`open: true` contradicts `clients`; keep one of them');
  }
  if (isLoopbackName(listen.host) || input.open === true || input.clients !== undefined) return;
  if (bad('open') || bad('clients') || bad('listen')) return;
  const reach = `anyone who can reach ${formatAddress(listen)} could spend with your credentials`;
  const remedies = 'name who may call under `clients`, or say `open: true` if that is meant';
  report.problem(['listen'], `${reach}; ${remedies}, or listen on 127.0.0.1`);
}

function readClients(clients: readonly ClientInput[], report: Report): Client[] {
  const names = new Set<string>();
  const keys = new Set<string>();
  const routes = report.keysAt(['routes']);
  return clients.map((client, i) => {
    const path: Path = ['clients', i];
    const { name, key } = client;
    if (name === undefined) report.problem(path, '`name` is missing', 'name');
    else checkName([...path, 'name'], name, names, report);
    if (key === undefined) report.problem(path, '`key` is missing; the client sends it as its bearer token', 'key');
    else checkKey([...path, 'key'], key, keys, report);
    client.routes?.forEach((route, j) => {
      if (routes.includes(route)) return;
      const at = [...path, 'routes', j];
      const guess = report.isInterpolated(at) ? '' : didYouMean(route, routes);
      report.problem(at, `there is no route ${report.quoted(at, route)}${guess}`);
    });
    return { name: name ?? '', key: new Secret(key ?? ''), routes: client.routes };
  });
}

function checkName(path: Path, name: string, seen: Set<string>, report: Report): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
    report.problem(path, 'must be 1 to 64 letters, digits, `.`, `_` or `-`, the first a letter or digit');
  } else if (seen.has(name)) {
    report.problem(path, `another client is named ${report.quoted(path, name)} already`);
  }
  seen.add(name);
}

function checkKey(path: Path, key: string, seen: Set<string>, report: Report): void {
  const { min, max } = BOUNDS.clientKeyLength;
  if (key.length < min) {
    report.problem(path, `is too short: at least ${min} characters, e.g. from \`openssl rand -hex 32\``);
  } else if (key.length > max) {
    report.problem(path, `is too long: at most ${max} characters`);
  } else if (!/^[!-~]*$/.test(key)) {
    report.problem(path, 'holds a space, a line break or a character beyond ASCII, which no bearer token can');
  } else if (seen.has(key)) {
    report.problem(path, 'is the key of another client already; give each its own');
  }
  seen.add(key);
}

function readHosts(path: Path, hosts: readonly string[], report: Report): string[] {
  return hosts.map((host, i) => {
    const name = /^(.*?)(?::[0-9]{1,5})?$/.exec(host)?.[1] ?? '';
    const bracketed = /^\[[0-9a-f:.]+\]$/i.test(name);
    if (!bracketed && !isHostName(name)) {
      report.problem([...path, i], 'must be a host name such as `wakala.internal`, without scheme or path');
    }
    return host.toLowerCase();
  });
}

function readOrigins(path: Path, origins: readonly string[], report: Report): string[] {
  return origins.map((origin, i) => {
    const url = URL.parse(origin);
    const web = url !== null && (url.protocol === 'https:' || url.protocol === 'http:');
    if (!web || `${url.origin}/` !== url.href || /[/?#]$/.test(origin.toLowerCase().replace(url.origin, ''))) {
      report.problem([...path, i], 'must be an origin such as `https://app.example`, without path or `*`');
    }
    return url?.origin ?? origin;
  });
}

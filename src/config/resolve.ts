import { availableParallelism } from 'node:os';
import { Secret } from '../secret.ts';
import { overlaps, formatAddress, parseAddress } from './address.ts';
import { readHosts, readOrigins } from './allowed.ts';
import { bearerError, checkAccess, readClients } from './clients.ts';
import type { Config, ListenAddress, RouteConfig } from './config.ts';
import { DEFAULTS } from './defaults.ts';
import type { Files } from './files.ts';
import type { Interpolation } from './interpolate.ts';
import type { Diagnostics } from './problems.ts';
import { resolveRoute } from './resolve-route.ts';
import type { ConfigInput } from './schema.ts';
import { checkFileModes } from './secret-files.ts';
import { readTls } from './tls.ts';
import { readTracing } from './tracing.ts';
import { readTokenStore } from './token-store.ts';
import { parseDuration } from './units.ts';
import type { Path } from './tree.ts';
import { checkLoop, type OwnListeners } from './urls.ts';

export interface ResolveOptions {
  readonly interpolation: Interpolation;
  readonly files: Files;
  readonly emulated: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** In place of the file's, as from the command line. */
  readonly listen: ListenAddress | undefined;
  readonly admin: ListenAddress | false | undefined;
}

/** The whole configuration with defaults filled in. It is good only if `report` has no problems afterwards. */
export function resolveConfig(file: string, input: ConfigInput, report: Diagnostics, options: ResolveOptions): Config {
  const environment = input.environment ?? DEFAULTS.environment;
  const { emulated, files, now } = options;
  const { segments, fileReferences } = options.interpolation;
  const listen = options.listen ?? input.listen?.address ?? addressOf(DEFAULTS.listen);
  const admin = adminOf(input, options);
  const routes = resolveRoutes(input, report, {
    segments,
    emulated,
    environment,
    now,
    report,
    inspectBodies: input.inspect_bodies ?? emulated,
  });
  const tls = input.listen?.tls && readTls(input.listen.tls, { input, report, files, emulated, now });
  const clients = readClients(input, report);
  const adminToken = readAdminToken(input, report);
  const tokenStore = readTokenStore(input, report);
  checkAccess(input, listen, report);
  checkFileModes(file, fileReferences, { input, report, files, emulated });
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
    environment,
    routes,
    clients,
    open: input.open ?? false,
    allowedHosts: readHosts(['allowed_hosts'], input.allowed_hosts ?? [], report),
    allowedOrigins: readOrigins(['allowed_origins'], input.allowed_origins ?? [], report),
    workers: emulated ? 1 : workersOf(input),
    // Emulated providers are this process's own.
    tokenStore: emulated ? undefined : tokenStore,
    maxConnections: input.max_connections,
    drainTimeoutMs: input.drain_timeout ?? parseDuration(DEFAULTS.drain_timeout) ?? 0,
    log: {
      level: input.log?.level ?? 'info',
      format: input.log?.format ?? 'auto',
      requests: input.log?.requests ?? emulated,
    },
    tracing: readTracing(input, report),
  };
}

function workersOf({ workers = 1 }: ConfigInput): number {
  return workers === 'auto' ? availableParallelism() : workers;
}

function addressOf(text: string): ListenAddress {
  const parsed = parseAddress(text);
  if ('problem' in parsed) throw new Error(`not an address: ${text}`);
  return parsed.value;
}

function adminOf(input: ConfigInput, options: ResolveOptions): ListenAddress | undefined {
  const admin = options.admin ?? (input.admin && input.admin.address) ?? addressOf(DEFAULTS.admin);
  return admin === false ? undefined : admin;
}

function readAdminToken({ admin }: ConfigInput, report: Diagnostics): Secret | undefined {
  const token = admin === false ? undefined : admin?.token;
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

function resolveRoutes(
  input: ConfigInput,
  report: Diagnostics,
  resolving: Parameters<typeof resolveRoute>[2],
): RouteConfig[] {
  const entries = Object.entries(input.routes);
  if (report.keysAt(['routes']).length === 0) {
    report.problem(
      ['routes'],
      'is empty; name at least one, such as `/mpesa/*`; `wakala providers mpesa` shows it whole',
    );
  }
  return entries.flatMap(([name, route]) => {
    const resolved = resolveRoute(name, route, resolving);
    if (resolved === undefined) report.undefer(['routes', name]);
    return resolved ?? [];
  });
}

import { type Environment, isFixed, type Provider } from '../providers/provider.ts';
import { providerNamed, providers } from '../providers/registry.ts';
import type { AllowRule, Route } from './config.ts';
import { checkFixedToken, credentialFields, credentialValues } from './credentials.ts';
import { DEFAULTS } from './defaults.ts';
import type { Reading } from './exchange.ts';
import { methodFault, parseAllow, pathFault } from './http-words.ts';
import type { SegmentsByPath } from './interpolate.ts';
import type { Report } from './problems.ts';
import { assembled, exchangesOf, headersOf, loginPaths } from './provider-of.ts';
import type { RouteInput } from './schema.ts';
import { Templates } from './templates.ts';
import type { Path } from './tree.ts';
import { parseDuration, parseSize } from './units.ts';
import { checkedUrl } from './urls.ts';

/** What routes are resolved with. */
export interface Resolving {
  readonly report: Report;
  readonly segments: SegmentsByPath;
  readonly environment: Environment;
  /** Credentials and hosts will be replaced: they may be missing. */
  readonly emulated: boolean;
  /** What `inspect_bodies` says. */
  readonly inspectBodies: boolean;
}

/** One route, or undefined where it cannot be made; then a problem is reported, or deferred. */
export function resolveRoute(name: string, input: RouteInput, resolving: Resolving): Route | undefined {
  const { report } = resolving;
  const path = ['routes', name];
  const environment = input.environment ?? resolving.environment;
  const base = input.provider === undefined ? undefined : providerNamed(input.provider);
  checkPattern(path, name, report);
  const limits = readLimits(path, input, report);
  const allow = input.allow && readAllow([...path, 'allow'], input.allow, report);
  const hosts = readHosts(path, input, base, environment, resolving);
  if (!hasProvider(path, input, base, report)) return undefined;

  const fields = credentialFields(path, base, report);
  const values = credentialValues(path, fields, input.credentials ?? {}, resolving);
  checkFixedToken(path, base, values, report);
  const templates = new Templates(
    resolving.segments,
    report,
    fields.map((field) => field.name),
  );
  const made = readProvider(path, name, input, base, hosts, { report, templates, environment });
  if (made === undefined || hosts === undefined) return undefined;
  if (base === undefined)
    warnOfUnused(
      path,
      fields.map((field) => field.name),
      templates,
      report,
    );
  const provider = { ...made, credentials: [...fields, ...templates.fields] };
  return {
    name,
    prefix: name.slice(0, -2),
    provider,
    environment,
    ...hosts,
    credentials: new Map([...values, ...templates.values]),
    headers: provider.headers,
    ...limits,
    allow,
    tokenPaths: input.token_paths ?? 'placeholder',
    websocket: input.websocket ?? false,
    inspectBodies: resolving.inspectBodies && (resolving.emulated || environment !== 'production'),
  };
}

function checkPattern(path: Path, name: string, report: Report): void {
  const at = path.slice(0, -1);
  const prefix = name.replace(/\/?\*$/, '');
  if (!name.startsWith('/') || !name.endsWith('/*')) {
    const hint = `/${prefix.replace(/^\/+|\/+$/g, '')}/*`.replace('//', '/');
    report.problem(at, `\`${name}\`: a route starts with \`/\` and ends with \`/*\`; write \`${hint}\``, name);
    return;
  }
  const percent = prefix.includes('%') ? 'a route holds no `%`; paths are compared as they are sent' : undefined;
  const braces = /[{}]/.test(prefix)
    ? 'a route holds no braces; references are replaced in values, not in keys'
    : undefined;
  const fault = percent ?? braces ?? pathFault(name.slice(0, -1));
  if (fault !== undefined) report.problem(at, `\`${name}\`: ${fault}`, name);
}

function hasProvider(path: Path, input: RouteInput, base: Provider | undefined, report: Report): boolean {
  if (base !== undefined || input.token !== undefined) return true;
  if (!report.isSilenced([...path, 'token'])) {
    const names = providers.map((provider) => provider.name).join(', ');
    report.problem(path, `name a \`provider\` (${names}), or spell out a \`token\` exchange`, 'provider');
  }
  return false;
}

type Hosts = Pick<Route, 'upstream' | 'authServer'>;

function readHosts(
  path: Path,
  input: RouteInput,
  base: Provider | undefined,
  environment: Environment,
  { report, emulated }: Resolving,
): Hosts | undefined {
  const read = (key: 'upstream' | 'auth_server') => {
    const text = input[key];
    return text === undefined ? undefined : checkedUrl([...path, key], text, environment, report);
  };
  const builtIn = base?.hosts?.[environment];
  const [upstream, authServer] = [read('upstream'), read('auth_server')];
  const willBeGiven = emulated && report.isSilenced([...path, 'upstream']);
  const api = upstream ?? builtIn?.api ?? (willBeGiven ? 'http://127.0.0.1' : undefined);
  if (api === undefined) {
    const unknown = base === undefined && input.token === undefined;
    const text = 'name the API as `upstream: https://...`; this route has no built-in one';
    if (!unknown && input.upstream === undefined) report.problem(path, text, 'upstream');
    return undefined;
  }
  return { upstream: api, authServer: authServer ?? builtIn?.auth ?? api };
}

function readProvider(
  path: Path,
  name: string,
  input: RouteInput,
  base: Provider | undefined,
  hosts: Hosts | undefined,
  reading: Reading,
): Provider | undefined {
  const headers = headersOf([...path, 'headers'], base?.headers ?? [], input.headers ?? {}, reading);
  if (base !== undefined && isFixed(base.token)) {
    for (const key of ['token', 'encoding'] as const) {
      const text = `\`${base.name}\` asks for no token; leave out \`${key}\`, or leave out \`provider\``;
      if (input[key] !== undefined) reading.report.problem(path, text, key);
    }
    return { ...base, headers };
  }
  const exchanges = exchangesOf(path, base, input, reading);
  if (exchanges === undefined || hosts === undefined) return undefined;
  const logins = loginPaths(exchanges, hosts.upstream, hosts.authServer);
  return assembled(base, { name, token: input.token, loginPaths: logins }, exchanges, headers);
}

function warnOfUnused(path: Path, names: readonly string[], templates: Templates, report: Report): void {
  for (const name of names) {
    if (!templates.used.has(name)) report.warn([...path, 'credentials', name], `no \`{${name}}\` refers to it`);
  }
}

type Limits = Pick<
  Route,
  'timeoutMs' | 'connectTimeoutMs' | 'maxBodyBytes' | 'replayLimitBytes' | 'replay' | 'maxConcurrency'
>;

/** Defaults that would contradict a smaller value of the user's follow it; only what is written can be a problem. */
function readLimits(path: Path, input: RouteInput, report: Report): Limits {
  const timeoutMs = input.timeout ?? parseDuration(DEFAULTS.timeout) ?? 0;
  const maxBodyBytes = input.max_body ?? parseSize(DEFAULTS.max_body) ?? 0;
  if (input.connect_timeout !== undefined && input.connect_timeout > timeoutMs) {
    report.problem([...path, 'connect_timeout'], 'is longer than `timeout`, which it is part of');
  }
  if (input.replay_limit !== undefined && input.replay_limit > maxBodyBytes) {
    report.problem([...path, 'replay_limit'], 'is larger than `max_body`, so no body could ever use it');
  }
  return {
    timeoutMs,
    maxBodyBytes,
    connectTimeoutMs: input.connect_timeout ?? Math.min(parseDuration(DEFAULTS.connect_timeout) ?? 0, timeoutMs),
    replayLimitBytes: input.replay_limit ?? Math.min(parseSize(DEFAULTS.replay_limit) ?? 0, maxBodyBytes),
    replay: readReplay([...path, 'replay'], input.replay ?? true, report),
    maxConcurrency: input.max_concurrency,
  };
}

function readReplay(path: Path, replay: boolean | readonly string[], report: Report): Route['replay'] {
  if (typeof replay === 'boolean') return replay;
  replay.forEach((method, i) => {
    const fault = methodFault(method);
    if (fault !== undefined) report.problem([...path, i], fault);
  });
  return new Set(replay);
}

function readAllow(path: Path, allow: readonly string[], report: Report): AllowRule[] {
  return allow.flatMap((text, i) => {
    const parsed = parseAllow(text);
    if ('value' in parsed) return [parsed.value];
    report.problem([...path, i], parsed.problem);
    return [];
  });
}

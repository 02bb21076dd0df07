import type { Environment, Provider } from '../providers/provider.ts';
import { providerNamed } from '../providers/registry.ts';
import { placeholdersIn } from '../providers/template.ts';
import { checkSign } from './check-sign.ts';
import type { RouteConfig } from './config.ts';
import type { Diagnostics } from './diagnostics.ts';
import { type SegmentsByPath, Templates } from './interpolate.ts';
import { type ConnectionContext, DefaultEgress, readConnections } from './resolve-connection.ts';
import { checkHeaderCredentials, credentialFields, readCredentials, warnOfUnused } from './resolve-credentials.ts';
import { neededFields, OAUTH2, readOAuth2, refuseOAuth2 } from './resolve-oauth2.ts';
import { type Hosts, readProvider } from './resolve-provider.ts';
import { readSignRules } from './resolve-sign.ts';
import { fallbackOf } from './schema-fields.ts';
import { type RouteInput, type RouteSettings, settingDefault, SETTINGS, tokenBlock } from './schema-route.ts';
import { token } from './schema-token.ts';
import type { Path } from './source.ts';
import type { ExchangeContext } from './token-exchange.ts';
import { checkedUrl, pathError } from './values.ts';

/** `emulated`: emulators replace the hosts and the credentials, which may therefore be missing. */
interface RouteContext extends ConnectionContext {
  readonly segments: SegmentsByPath;
}

/** The routes of the file that can be resolved. Reports a problem for each of the others. */
export function resolveRoutes(context: RouteContext): RouteConfig[] {
  const { input, report } = context;
  if (report.keysAt(['routes']).length === 0) {
    report.problem(
      ['routes'],
      'is empty; add at least one, such as `/mpesa/*`; `wakala providers mpesa` shows an example',
    );
  }
  const egress = new DefaultEgress(context);
  return Object.entries(input.routes).flatMap(([name, route]) => {
    const resolved = resolveRoute(name, route, { ...context, egress });
    if (resolved === undefined) report.undefer(['routes', name]);
    return resolved ?? [];
  });
}

/** One route. Undefined if it cannot be resolved; then a problem is reported or deferred. */
function resolveRoute(
  name: string,
  input: RouteInput,
  context: RouteContext & { readonly egress: DefaultEgress },
): RouteConfig | undefined {
  const { input: config, report, emulated } = context;
  const path = ['routes', name];
  const environment = input.environment ?? config.environment;
  const builtIn = input.provider === undefined ? undefined : providerNamed(input.provider);
  checkPattern(path, name, report);
  const settings = readSettings(path, input, report);
  const hosts = readHosts(path, input, builtIn, environment, context);
  refuseOAuth2(path, input, report);
  if (!hasProvider(path, input, builtIn, report)) return undefined;

  const known = credentialFields(path, builtIn, report);
  const fields = builtIn?.name === OAUTH2 ? neededFields(path, known, input, report) : known;
  const credentials = readCredentials(path, fields, input, builtIn, { report, emulated, environment });
  if (builtIn !== undefined) checkHeaderCredentials(path, builtIn, credentials.values, report);
  const names = credentials.fields.map((field) => field.name);
  const absent = fields.flatMap((field) => (names.includes(field.name) ? [] : [field.name]));
  const templates = new Templates(context.segments, report, names, absent);
  const exchangeContext: ExchangeContext = {
    report,
    templates,
    environment,
    allowAddresses: input.allow_addresses ?? [],
  };
  const oauth2 =
    builtIn?.name === OAUTH2
      ? readOAuth2(path, builtIn, input, { ...exchangeContext, emulated, nowMs: context.nowMs })
      : undefined;
  if (builtIn?.name === OAUTH2 && oauth2 === undefined) return undefined;
  const urls = hosts && { ...hosts, ...(oauth2 && { authServer: oauth2.authServer }) };
  const routeProvider = readProvider(
    { path, name, input, base: oauth2?.provider ?? builtIn, hosts: urls },
    exchangeContext,
  );
  if (routeProvider === undefined || urls === undefined) return undefined;
  const sign = [...credentials.rules, ...readSignRules([...path, 'sign'], input.sign ?? [], templates)];
  const provider: Provider = {
    ...routeProvider,
    sign,
    credentials: [...credentials.fields, ...(oauth2?.fields ?? []), ...templates.fields],
  };
  warnOfUnused(path, builtIn, credentials, templates.used, report);
  const route: RouteConfig = {
    name,
    prefix: name.slice(0, -2),
    provider,
    environment,
    ...urls,
    ...readConnections(path, input, { ...urls, provider, tokenCertificate: oauth2?.certificate }, context),
    tokenTimeoutMs: readTokenTimeout(path, input, report),
    credentials: new Map([...credentials.values, ...(oauth2?.values ?? []), ...templates.values]),
    headers: provider.headers,
    ...settings,
    inspectBodies: (config.inspect_bodies ?? emulated) && (emulated || environment !== 'production'),
  };
  checkSign(path, route, { report, providerRules: credentials.rules.length, missing: credentials.missing, absent });
  return route;
}

function checkPattern(path: Path, name: string, report: Diagnostics): void {
  const at = path.slice(0, -1);
  const prefix = name.replace(/\/?\*$/, '');
  if (!name.startsWith('/') || !name.endsWith('/*')) {
    const hint = `/${prefix.replace(/^\/+|(?<!\/)\/+$/g, '')}/*`.replace('//', '/');
    report.problem(at, `\`${name}\`: a route must start with \`/\` and end with \`/*\`; write \`${hint}\``, name);
    return;
  }
  const percent = prefix.includes('%')
    ? 'a route must not contain `%`; paths are compared as clients send them'
    : undefined;
  const braces = /[{}]/.test(prefix)
    ? 'a route must not contain braces; references are replaced in values, not in keys'
    : undefined;
  const error = percent ?? braces ?? pathError(name.slice(0, -1));
  if (error !== undefined) report.problem(at, `\`${name}\`: ${error}`, name);
}

function hasProvider(path: Path, input: RouteInput, builtIn: Provider | undefined, report: Diagnostics): boolean {
  if (builtIn !== undefined || input.token !== undefined) return true;
  if (input.oauth2 !== undefined) return false;
  if (!report.isSilenced([...path, 'token'])) {
    const text =
      'set `provider` (`wakala providers` lists them), describe the exchange under `token`, or write `token: none` for an API without a token';
    report.problem(path, text, 'provider');
  }
  return false;
}

function readHosts(
  path: Path,
  input: RouteInput,
  builtIn: Provider | undefined,
  environment: Environment,
  { report, emulated }: RouteContext,
): Hosts | undefined {
  const read = (key: 'upstream' | 'auth_server') => {
    const text = input[key];
    if (text === undefined || hasPlaceholder([...path, key], text, report)) return undefined;
    return checkedUrl([...path, key], text, environment, report, input.allow_addresses ?? []);
  };
  const defaultHosts = builtIn?.hosts?.[environment];
  const [upstream, authServer] = [read('upstream'), read('auth_server')];
  const isReplaced = emulated && report.isSilenced([...path, 'upstream']);
  const api = upstream ?? defaultHosts?.api ?? (isReplaced ? 'http://127.0.0.1' : undefined);
  if (api === undefined) {
    const unknown = builtIn === undefined && input.token === undefined;
    const text = 'the API is missing; set `upstream: https://...`';
    if (!unknown && input.upstream === undefined) report.problem(path, text, 'upstream');
    return undefined;
  }
  return { upstream: api, authServer: authServer ?? defaultHosts?.auth ?? api };
}

/** Reports a `{name}` in a base URL, where nothing replaces it. */
function hasPlaceholder(path: Path, url: string, report: Diagnostics): boolean {
  const [name] = placeholdersIn(url);
  if (name === undefined) return false;
  const text = /token/i.test(name)
    ? `\`{${name}}\`: a token in a path ends up in the logs of every server on the way, so Wakala does not put it there; ` +
      'if the API takes it as a query parameter, set `token_query`'
    : `\`{${name}}\` is not replaced in a base URL; write the value itself`;
  report.problem(path, text);
  return true;
}

export const DEFAULT_TOKEN_TIMEOUT_MS = fallbackOf(token.shape.timeout);

function readTokenTimeout(path: Path, input: RouteInput, report: Diagnostics): number {
  const written = tokenBlock(input)?.timeout;
  if (written !== undefined && written > input.timeout) {
    const text =
      'is longer than `timeout`: requests give up before a token that takes so long arrives; raise `timeout`';
    report.warn([...path, 'token', 'timeout'], text);
  }
  return written ?? DEFAULT_TOKEN_TIMEOUT_MS;
}

/**
 * The settings of a route. A default above the limit of a setting (`atMost`) is lowered; a configured value above it is
 * reported.
 */
function readSettings(path: Path, input: RouteInput, report: Diagnostics): RouteSettings {
  const values: Record<string, unknown> = {};
  for (const { key, property } of SETTINGS) values[property] = input[key];
  const settings = values as unknown as RouteSettings;
  for (const setting of SETTINGS) {
    const { key, property, kind, atMost, onlyWith } = setting;
    const at = [...path, key];
    const isWritten = report.keysAt(path).includes(key) && !report.isSilenced(at);
    if (!isWritten) {
      if (atMost !== undefined) values[property] = settingDefault(setting, settings);
    } else if (atMost !== undefined && Number(input[key]) > input[atMost]) {
      const comparison = kind === 'duration' ? 'longer' : 'larger';
      report.problem(at, `is ${comparison} than \`${atMost}\`; lower it, or raise \`${atMost}\``);
    } else if (onlyWith !== undefined && !input[onlyWith]) {
      report.warn(at, `has no effect without \`${onlyWith}: true\``);
    }
  }
  return settings;
}

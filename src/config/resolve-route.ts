import {
  credentialDefault,
  type CredentialField,
  type Environment,
  isRequested,
  type Provider,
} from '../providers/provider.ts';
import { providerNamed } from '../providers/registry.ts';
import { placeholdersIn } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import type { RouteConfig } from './config.ts';
import type { Diagnostics } from './diagnostics.ts';
import { type SegmentsByPath, Templates } from './interpolate.ts';
import { type ConnectionContext, DefaultEgress, readConnections } from './resolve-connection.ts';
import { neededFields, OAUTH2, readOAuth2, refuseOAuth2 } from './resolve-oauth2.ts';
import { type Hosts, readProvider } from './resolve-provider.ts';
import { fallbackOf } from './schema-fields.ts';
import { type RouteInput, type RouteSettings, settingDefault, SETTINGS } from './schema-route.ts';
import { token } from './schema-token.ts';
import type { Path } from './source.ts';
import type { ExchangeContext } from './token-exchange.ts';
import { checkedUrl, isHeaderValue, pathError } from './values.ts';

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
  const values = credentialValues(path, fields, input.credentials ?? {}, { report, emulated, environment });
  checkHeaderCredentials(path, builtIn, values, report);
  const names = fields.map((field) => field.name);
  const templates = new Templates(context.segments, report, names);
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
  if (builtIn === undefined) warnOfUnused(path, names, templates, report);
  const provider = { ...routeProvider, credentials: [...fields, ...(oauth2?.fields ?? []), ...templates.fields] };
  return {
    name,
    prefix: name.slice(0, -2),
    provider,
    environment,
    ...urls,
    ...readConnections(path, input, { ...urls, provider, tokenCertificate: oauth2?.certificate }, context),
    tokenTimeoutMs: readTokenTimeout(path, input, report),
    credentials: new Map([...values, ...(oauth2?.values ?? []), ...templates.values]),
    headers: provider.headers,
    ...settings,
    inspectBodies: (config.inspect_bodies ?? emulated) && (emulated || environment !== 'production'),
  };
}

/** The value of a missing credential on an emulated route. */
const EMULATED_CREDENTIAL = 'emulated';

/** The credential fields of a route: those of the provider or, without one, the names that the file uses. */
function credentialFields(path: Path, builtIn: Provider | undefined, report: Diagnostics): readonly CredentialField[] {
  const at = [...path, 'credentials'];
  const names = report.keysAt(at);
  if (builtIn !== undefined) {
    const known = builtIn.credentials.map((field) => field.name);
    for (const name of names) if (!known.includes(name)) report.unknownKey(at, name, known);
    return builtIn.credentials;
  }
  for (const name of names) {
    const reserved = name === 'refresh_token' ? '`refresh_token` is reserved for the refresh token' : undefined;
    const malformed = /^[a-z][a-z0-9_]*$/.test(name) ? undefined : `\`${name}\` cannot be used as \`{name}\``;
    const error = reserved ?? malformed;
    if (error !== undefined)
      report.problem(at, `${error}; choose another name, of lowercase letters, digits and \`_\``, name);
  }
  return names.map((name) => ({ name, description: `\`${name}\` under \`credentials\``, secret: true }));
}

/**
 * The values of the credentials. A missing or empty value gets the provider's default. Reports missing ones, unless the
 * route is emulated.
 */
function credentialValues(
  path: Path,
  fields: readonly CredentialField[],
  input: Readonly<Record<string, string>>,
  {
    report,
    emulated,
    environment,
  }: { readonly report: Diagnostics; readonly emulated: boolean; readonly environment: Environment },
): Map<string, Secret> {
  const at = [...path, 'credentials'];
  const values = new Map<string, Secret>();
  for (const field of fields) {
    const { name, description } = field;
    const written = Object.hasOwn(input, name) ? input[name] : undefined;
    const value =
      written === undefined || written === '' ? (credentialDefault(field, environment) ?? written) : written;
    if (value === undefined && !emulated) report.problem(at, `\`${name}\` is missing (${description})`, name);
    else if (value === '' && !emulated) report.problem([...at, name], `is empty (${description})`);
    else if (value !== undefined) checkValue([...at, name], value, report);
    values.set(name, new Secret(value === undefined || value === '' ? EMULATED_CREDENTIAL : value));
  }
  return values;
}

function checkValue(path: Path, value: string, report: Diagnostics): void {
  if (/^["'`]|["'`]$/.test(value))
    report.warn(path, 'starts or ends with a quote; remove it unless it is part of the value');
  if (value !== value.trim())
    report.warn(path, 'starts or ends with a space or a newline; remove it unless it is part of the value');
}

/** Checks the credentials that are sent in a header unchanged: a fixed token, and those that headers refer to. */
function checkHeaderCredentials(
  path: Path,
  builtIn: Provider | undefined,
  values: ReadonlyMap<string, Secret>,
  report: Diagnostics,
) {
  if (builtIn === undefined) return;
  const inHeaders = new Set(headerTemplates(builtIn).flatMap(placeholdersIn));
  for (const [name, secret] of values) {
    if (!inHeaders.has(name)) continue;
    const at = [...path, 'credentials', name];
    if (!isHeaderValue(secret.reveal()))
      report.problem(at, 'contains a character that a header cannot carry, such as a line break; remove it');
    if ('fixed' in builtIn.token && /^bearer /i.test(secret.reveal()))
      report.warn(at, 'begins with "Bearer "; remove that, Wakala adds it');
  }
}

function headerTemplates({ token, headers }: Provider): string[] {
  const requestTemplates = isRequested(token) ? Object.values(token.request.headers ?? {}) : [];
  const tokenTemplates = 'fixed' in token ? [token.fixed] : requestTemplates;
  const apiTemplates = headers.flatMap(({ value }) => (typeof value === 'string' ? [value] : Object.values(value)));
  return [...tokenTemplates, ...apiTemplates];
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
    const text = 'set `provider` (`wakala providers` lists them), or describe the exchange under `token`';
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
  const name = /\{([A-Za-z_]\w*)\}/.exec(url)?.[1];
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
  const written = input.token?.timeout;
  if (written !== undefined && written > input.timeout) {
    const text =
      'is longer than `timeout`: requests give up before a token that takes so long arrives; raise `timeout`';
    report.warn([...path, 'token', 'timeout'], text);
  }
  return written ?? DEFAULT_TOKEN_TIMEOUT_MS;
}

function warnOfUnused(path: Path, names: readonly string[], templates: Templates, report: Diagnostics): void {
  for (const name of names) {
    if (!templates.used.has(name))
      report.warn([...path, 'credentials', name], `is not used: nothing refers to \`{${name}}\``);
  }
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

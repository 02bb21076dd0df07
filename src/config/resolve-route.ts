import { type CredentialField, defaultOf, type Environment, isFixed, type Provider } from '../providers/provider.ts';
import { providerNamed } from '../providers/registry.ts';
import { placeholdersIn } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import type { RouteConfig } from './config.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { SegmentsByPath } from './interpolate.ts';
import { neededFields, OAUTH2, readOAuth2, refuseOAuth2 } from './oauth2.ts';
import { type ConfigInput, type RouteInput, type RouteSettings, settingDefault, SETTINGS } from './schema.ts';
import type { Path } from './source.ts';
import { Templates } from './templates.ts';
import {
  buildProvider,
  type ExchangeContext,
  exchangesOf,
  headersOf,
  loginPaths,
  responseHeadersOf,
  tokenHeaderOf,
  withResponseHeaders,
} from './token-exchange.ts';
import { checkedUrl, isHeaderValue, pathError } from './values.ts';

/** Stands for a credential that is not there, where values will be replaced anyway. */
const EMULATED = 'emulated';

/** The credential fields of a route: the provider's, or, for a custom exchange, whatever names the file has. */
function credentialFields(path: Path, base: Provider | undefined, report: Diagnostics): readonly CredentialField[] {
  const at = [...path, 'credentials'];
  const names = report.keysAt(at);
  if (base !== undefined) {
    const known = base.credentials.map((field) => field.name);
    for (const name of names) if (!known.includes(name)) report.unknownKey(at, name, known);
    return base.credentials;
  }
  for (const name of names) {
    const reserved =
      name === 'refresh_token' ? '`refresh_token` is the name of the token that is refreshed' : undefined;
    const malformed = /^[a-z][a-z0-9_]*$/.test(name) ? undefined : `\`${name}\` cannot be used as \`{name}\``;
    const fault = reserved ?? malformed;
    if (fault !== undefined)
      report.problem(at, `${fault}; choose another name of small letters, digits and \`_\``, name);
  }
  return names.map((name) => ({ name, description: `\`${name}\` under \`credentials\``, secret: true }));
}

/**
 * The credentials' values. One that is left out, or empty, is what the provider says it is then. Missing ones are
 * reported, unless they are to be replaced anyway.
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
    const value = written === undefined || written === '' ? (defaultOf(field, environment) ?? written) : written;
    if (value === undefined && !emulated) report.problem(at, `\`${name}\` is missing (${description})`, name);
    else if (value === '' && !emulated) report.problem([...at, name], `is empty (${description})`);
    else if (value !== undefined) checkValue([...at, name], value, report);
    values.set(name, new Secret(value === undefined || value === '' ? EMULATED : value));
  }
  return values;
}

function checkValue(path: Path, value: string, report: Diagnostics): void {
  if (/^["'`]|["'`]$/.test(value)) report.warn(path, 'starts or ends with a quote; is it part of the value?');
  if (value !== value.trim()) report.warn(path, 'starts or ends with a space or a newline; is it part of the value?');
}

/** What is put into a header as it is must be fit for one: a fixed token, and credentials that headers name. */
function checkFixedToken(
  path: Path,
  base: Provider | undefined,
  values: ReadonlyMap<string, Secret>,
  report: Diagnostics,
) {
  if (base === undefined) return;
  const inHeaders = new Set(headerTemplates(base).flatMap(placeholdersIn));
  for (const [name, secret] of values) {
    if (!inHeaders.has(name)) continue;
    const at = [...path, 'credentials', name];
    if (!isHeaderValue(secret.reveal())) report.problem(at, 'holds a line break or a character no header can carry');
    if (isFixed(base.token) && /^bearer /i.test(secret.reveal()))
      report.warn(at, 'begins with "Bearer ", which is put before it anyway');
  }
}

function headerTemplates({ token, headers }: Provider): string[] {
  const asked = isFixed(token) ? [token.fixed] : Object.values(token.request.headers ?? {});
  const called = headers.flatMap(({ value }) => (typeof value === 'string' ? [value] : Object.values(value)));
  return [...asked, ...called];
}

/** What routes are resolved with. */
interface RouteContext {
  readonly report: Diagnostics;
  readonly segments: SegmentsByPath;
  /** Credentials and hosts will be replaced: they may be missing. */
  readonly emulated: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

/** The routes of the file that can be made. For each of the others a problem is reported. */
export function resolveRoutes(input: ConfigInput, context: RouteContext): RouteConfig[] {
  const { report } = context;
  if (report.keysAt(['routes']).length === 0) {
    report.problem(
      ['routes'],
      'is empty; name at least one, such as `/mpesa/*`; `wakala providers mpesa` shows it whole',
    );
  }
  return Object.entries(input.routes).flatMap(([name, route]) => {
    const resolved = resolveRoute(name, route, input, context);
    if (resolved === undefined) report.undefer(['routes', name]);
    return resolved ?? [];
  });
}

/** One route, or undefined where it cannot be made; then a problem is reported, or deferred. */
function resolveRoute(
  name: string,
  input: RouteInput,
  top: ConfigInput,
  resolving: RouteContext,
): RouteConfig | undefined {
  const { report, emulated } = resolving;
  const path = ['routes', name];
  const environment = input.environment ?? top.environment;
  const base = input.provider === undefined ? undefined : providerNamed(input.provider);
  checkPattern(path, name, report);
  const settings = readSettings(path, input, report);
  const hosts = readHosts(path, input, base, environment, resolving);
  refuseOAuth2(path, input, report);
  if (!hasProvider(path, input, base, report)) return undefined;

  const known = credentialFields(path, base, report);
  const fields = base?.name === OAUTH2 ? neededFields(path, known, input, report) : known;
  const values = credentialValues(path, fields, input.credentials ?? {}, { report, emulated, environment });
  checkFixedToken(path, base, values, report);
  const names = fields.map((field) => field.name);
  const templates = new Templates(resolving.segments, report, names);
  const reading: ExchangeContext = { report, templates, environment };
  const oauth2 =
    base?.name === OAUTH2 ? readOAuth2(path, base, input, { ...reading, emulated, now: resolving.now }) : undefined;
  if (base?.name === OAUTH2 && oauth2 === undefined) return undefined;
  const placed = hosts && { ...hosts, ...(oauth2 && { authServer: oauth2.authServer }) };
  const made = readProvider(path, name, input, oauth2?.provider ?? base, placed, reading);
  if (made === undefined || placed === undefined) return undefined;
  if (base === undefined) warnOfUnused(path, names, templates, report);
  const provider = { ...made, credentials: [...fields, ...(oauth2?.fields ?? []), ...templates.fields] };
  return {
    name,
    prefix: name.slice(0, -2),
    provider,
    environment,
    ...placed,
    credentials: new Map([...values, ...(oauth2?.values ?? []), ...templates.values]),
    headers: provider.headers,
    ...settings,
    inspectBodies: (top.inspect_bodies ?? emulated) && (emulated || environment !== 'production'),
  };
}

function checkPattern(path: Path, name: string, report: Diagnostics): void {
  const at = path.slice(0, -1);
  const prefix = name.replace(/\/?\*$/, '');
  if (!name.startsWith('/') || !name.endsWith('/*')) {
    const hint = `/${prefix.replace(/^\/+|(?<!\/)\/+$/g, '')}/*`.replace('//', '/');
    report.problem(at, `\`${name}\`: a route starts with \`/\` and ends with \`/*\`; write \`${hint}\``, name);
    return;
  }
  const percent = prefix.includes('%') ? 'a route holds no `%`; paths are compared as they are sent' : undefined;
  const braces = /[{}]/.test(prefix)
    ? 'a route holds no braces; references are replaced in values, not in keys'
    : undefined;
  const fault = percent ?? braces ?? pathError(name.slice(0, -1));
  if (fault !== undefined) report.problem(at, `\`${name}\`: ${fault}`, name);
}

function hasProvider(path: Path, input: RouteInput, base: Provider | undefined, report: Diagnostics): boolean {
  if (base !== undefined || input.token !== undefined) return true;
  if (input.oauth2 !== undefined) return false;
  if (!report.isSilenced([...path, 'token'])) {
    const text = 'name a `provider` (`wakala providers` lists them), or spell out a `token` exchange';
    report.problem(path, text, 'provider');
  }
  return false;
}

type Hosts = Pick<RouteConfig, 'upstream' | 'authServer'>;

function readHosts(
  path: Path,
  input: RouteInput,
  base: Provider | undefined,
  environment: Environment,
  { report, emulated }: RouteContext,
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
  reading: ExchangeContext,
): Provider | undefined {
  const { report } = reading;
  const headers = headersOf([...path, 'headers'], base?.headers ?? [], input.headers ?? {}, reading);
  const tokenHeader = tokenHeaderOf(path, base?.tokenHeader, input, headers, report);
  const put = { headers, tokenHeader };
  if (base !== undefined && isFixed(base.token)) {
    for (const key of ['token', 'encoding', 'headers_from_token'] as const) {
      const text = `\`${base.name}\` asks for no token; leave out \`${key}\`, or leave out \`provider\``;
      if (input[key] !== undefined) report.problem(path, text, key);
    }
    return { ...base, headers, ...(tokenHeader && { tokenHeader }) };
  }
  const known = base === undefined || isFixed(base.token) ? undefined : base.token.response.headers;
  const answerHeaders = responseHeadersOf(path, known, input, put, report);
  const asked = exchangesOf(path, base, input, reading);
  if (asked === undefined || hosts === undefined) return undefined;
  const exchanges = withResponseHeaders(asked, answerHeaders);
  const logins = loginPaths(exchanges, hosts.upstream, hosts.authServer);
  return buildProvider(base, { name, token: input.token, loginPaths: logins }, exchanges, put);
}

function warnOfUnused(path: Path, names: readonly string[], templates: Templates, report: Diagnostics): void {
  for (const name of names) {
    if (!templates.used.has(name)) report.warn([...path, 'credentials', name], `no \`{${name}}\` refers to it`);
  }
}

/** The settings of a route. A default above the key that bounds it is lowered; a written value above it is a problem. */
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

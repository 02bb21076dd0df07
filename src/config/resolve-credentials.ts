import {
  credentialDefault,
  type CredentialField,
  type Environment,
  isRequested,
  type Provider,
} from '../providers/provider.ts';
import type { ProviderSignRule } from '../providers/sign-rule.ts';
import { placeholdersIn } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import type { Diagnostics } from './diagnostics.ts';
import { activeRules, namesIn } from './resolve-sign.ts';
import type { RouteInput } from './schema-route.ts';
import type { Path } from './source.ts';
import { isHeaderValue } from './values.ts';

interface CredentialsContext {
  readonly report: Diagnostics;
  /** Emulators replace the credentials, which may therefore be missing. */
  readonly emulated: boolean;
  readonly environment: Environment;
}

/** The credentials of a route, and the rules of its provider that they switch on. */
export interface RouteCredentials {
  /** Without the optional ones that are left out. */
  readonly fields: readonly CredentialField[];
  readonly values: ReadonlyMap<string, Secret>;
  /** Those that the file does not have. Their value is a stand-in, which cannot be checked. */
  readonly missing: ReadonlySet<string>;
  readonly rules: readonly ProviderSignRule[];
}

/** The credential fields of a route: those of the provider or, without one, the names that the file uses. */
export function credentialFields(
  path: Path,
  builtIn: Provider | undefined,
  report: Diagnostics,
): readonly CredentialField[] {
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
 * route is emulated. An optional credential that is left out is off. On an emulated route it is on if the file has its key.
 */
export function readCredentials(
  path: Path,
  fields: readonly CredentialField[],
  { credentials: input = {} }: RouteInput,
  builtIn: Provider | undefined,
  { report, emulated, environment }: CredentialsContext,
): RouteCredentials {
  const at = [...path, 'credentials'];
  const values = new Map<string, Secret>();
  const missing = new Set<string>();
  const standIn = ({ name, kind }: CredentialField) => {
    missing.add(name);
    values.set(name, new Secret(kind === 'flag' ? 'true' : EMULATED_CREDENTIAL));
  };
  for (const field of fields) {
    const { name, description, optional = false } = field;
    const written = Object.hasOwn(input, name) ? input[name] : undefined;
    const value =
      written === undefined || written === '' ? (credentialDefault(field, environment) ?? written) : written;
    if (value !== undefined && value !== '') {
      checkValue([...at, name], value, field, report);
      values.set(name, new Secret(String(value)));
    } else if (!optional || (emulated && report.keysAt(at).includes(name))) {
      if (value === undefined && !emulated) report.problem(at, `\`${name}\` is missing (${description})`, name);
      else if (!emulated) report.problem([...at, name], `is empty (${description})`);
      standIn(field);
    }
  }
  const rules = activeRules(builtIn, values);
  for (const rule of rules) {
    const names = namesIn(rule);
    for (const field of fields) {
      const { name, description } = field;
      if (values.has(name) || !names.has(name)) continue;
      const text = `\`${name}\` is missing; \`${rule.when}\` needs it (${description})`;
      if (!emulated) report.problem(at, text, name);
      standIn(field);
    }
  }
  return { fields: fields.filter(({ name }) => values.has(name)), values, missing, rules };
}

/** The value of a missing credential on an emulated route. */
const EMULATED_CREDENTIAL = 'emulated';

function checkValue(path: Path, value: string | boolean, { kind }: CredentialField, report: Diagnostics): void {
  if (kind === 'flag') {
    if (!['true', 'false'].includes(String(value))) report.problem(path, 'must be `true` or `false`');
    return;
  }
  if (typeof value === 'boolean') {
    report.problem(path, 'must be a text; put it in quotes');
    return;
  }
  // White space around a key in PEM does no harm.
  if (value.includes('-----BEGIN ')) return;
  if (/^["'`]|["'`]$/.test(value))
    report.warn(path, 'starts or ends with a quote; remove it unless it is part of the value');
  if (value !== value.trim())
    report.warn(path, 'starts or ends with a space or a newline; remove it unless it is part of the value');
}

/** Checks the credentials that are sent in a header unchanged: a fixed token, and those that headers refer to. */
export function checkHeaderCredentials(
  path: Path,
  builtIn: Provider,
  values: ReadonlyMap<string, Secret>,
  report: Diagnostics,
): void {
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

/**
 * Warns of credentials that nothing uses: of a built-in provider, those that only rules need that are off. `used`: the
 * names in the texts of the route.
 */
export function warnOfUnused(
  path: Path,
  builtIn: Provider | undefined,
  { values, rules }: RouteCredentials,
  used: ReadonlySet<string>,
  report: Diagnostics,
): void {
  const at = [...path, 'credentials'];
  const written = report.keysAt(at).filter((name) => values.has(name) && !used.has(name));
  if (builtIn === undefined) {
    for (const name of written) report.warn([...at, name], `is not used: nothing refers to \`{${name}}\``);
    return;
  }
  const { sign = [], token, refresh, headers } = builtIn;
  const needed = new Set([
    ...placeholdersIn(JSON.stringify({ token, refresh, headers })),
    ...rules.flatMap((rule) => [rule.when, ...namesIn(rule)]),
  ]);
  for (const name of written) {
    const off = sign.filter((rule) => !rules.includes(rule) && rule.when !== name && namesIn(rule).has(name));
    const switches = [...new Set(off.map((rule) => `\`${rule.when}\``))].join(' or ');
    if (switches !== '' && !needed.has(name)) report.warn([...at, name], `has no effect without ${switches}`);
  }
}

import { type CredentialField, defaultOf, type Environment, isFixed, type Provider } from '../providers/provider.ts';
import { placeholdersIn } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import type { Diagnostics } from './problems.ts';
import { isHeaderValue } from './http-words.ts';
import type { Path } from './tree.ts';

/** Stands for a credential that is not there, where values will be replaced anyway. */
const EMULATED = 'emulated';

/** The credential fields of a route: the provider's, or, for a custom exchange, whatever names the file has. */
export function credentialFields(
  path: Path,
  base: Provider | undefined,
  report: Diagnostics,
): readonly CredentialField[] {
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
export function credentialValues(
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
export function checkFixedToken(
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

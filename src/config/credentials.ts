import type { CredentialField, Provider } from '../providers/provider.ts';
import { isFixed } from '../providers/provider.ts';
import { Secret } from '../secret.ts';
import type { Report } from './problems.ts';
import { isHeaderValue } from './http-words.ts';
import type { Path } from './tree.ts';

/** Stands for a credential that is not there, where values will be replaced anyway. */
const EMULATED = 'emulated';

/** The credential fields of a route: the provider's, or, for a custom exchange, whatever names the file has. */
export function credentialFields(path: Path, base: Provider | undefined, report: Report): readonly CredentialField[] {
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

/** The credentials' values. Missing ones are reported, unless they are to be replaced anyway. */
export function credentialValues(
  path: Path,
  fields: readonly CredentialField[],
  input: Readonly<Record<string, string>>,
  { report, emulated }: { readonly report: Report; readonly emulated: boolean },
): Map<string, Secret> {
  const at = [...path, 'credentials'];
  const values = new Map<string, Secret>();
  for (const { name, description } of fields) {
    const value = Object.hasOwn(input, name) ? input[name] : undefined;
    if (value === undefined && !emulated) report.problem(at, `\`${name}\` is missing (${description})`, name);
    else if (value === '' && !emulated) report.problem([...at, name], `is empty (${description})`);
    else if (value !== undefined) checkValue([...at, name], value, report);
    values.set(name, new Secret(value === undefined || value === '' ? EMULATED : value));
  }
  return values;
}

function checkValue(path: Path, value: string, report: Report): void {
  if (/^["'`]|["'`]$/.test(value)) report.warn(path, 'starts or ends with a quote; is it part of the value?');
  if (value !== value.trim()) report.warn(path, 'starts or ends with a space or a newline; is it part of the value?');
}

/** A fixed token is put on calls as it is, so it must be fit for a header. */
export function checkFixedToken(
  path: Path,
  base: Provider | undefined,
  values: ReadonlyMap<string, Secret>,
  report: Report,
) {
  if (base === undefined || !isFixed(base.token)) return;
  for (const [name, secret] of values) {
    const at = [...path, 'credentials', name];
    if (!isHeaderValue(secret.reveal())) report.problem(at, 'holds a line break or a character no header can carry');
    if (/^bearer /i.test(secret.reveal())) report.warn(at, 'begins with "Bearer ", which is put before it anyway');
  }
}

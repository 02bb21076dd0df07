import { BEARER, type HeaderRule, type TokenHeader } from '../providers/provider.ts';
import { headerError } from './http-words.ts';
import type { Diagnostics } from './problems.ts';
import type { RouteInput } from './schema.ts';
import type { Path } from './tree.ts';

const AUTHORIZATION = 'authorization';

/** Which header carries the token: the route's, over the provider's. Undefined: as usual. */
export function tokenHeaderOf(
  path: Path,
  base: TokenHeader | undefined,
  { token_header: input }: RouteInput,
  headers: readonly HeaderRule[],
  report: Diagnostics,
): TokenHeader | undefined {
  if (input === undefined) return base;
  const at = [...path, 'token_header'];
  const { name = base?.name ?? BEARER.name } = input;
  const scheme = input.scheme ?? (isAuthorization(name) ? BEARER.scheme : '');
  if (report.keysAt(at).length === 0) report.problem(at, 'is empty; name a header', 'name');
  const fault = isAuthorization(name) ? undefined : headerError(name);
  if (fault !== undefined) report.problem([...at, 'name'], fault);
  else if (headers.some((rule) => plain(rule.name) === plain(name))) {
    report.problem([...at, 'name'], 'is set under `headers` as well; the token goes here');
  }
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]*$/.test(scheme)) {
    report.problem(
      [...at, 'scheme'],
      'must be one word such as `Bearer`, or empty; the space behind it comes by itself',
    );
  }
  return { name, scheme };
}

function isAuthorization(name: string): boolean {
  return name.toLowerCase() === AUTHORIZATION;
}

/** Paths into the token answer by the names of the headers that they fill: the route's, over the provider's. */
export function responseHeadersOf(
  path: Path,
  base: Readonly<Record<string, string>> | undefined,
  { headers_from_token: input }: RouteInput,
  taken: { readonly headers: readonly HeaderRule[]; readonly tokenHeader: TokenHeader | undefined },
  report: Diagnostics,
): Readonly<Record<string, string>> | undefined {
  if (input === undefined) return base;
  const at = [...path, 'headers_from_token'];
  const seen = new Set<string>();
  const faultIn = (name: string) => {
    if (headerError(name) !== undefined) return headerError(name);
    if (seen.has(plain(name))) return 'given twice (names are the same in any case, and with `_` for `-`)';
    if (plain(name) === plain((taken.tokenHeader ?? BEARER).name)) return 'carries the token; choose another header';
    const isSet = taken.headers.some((rule) => plain(rule.name) === plain(name));
    return isSet ? 'is set under `headers` as well; keep one' : undefined;
  };
  for (const [name, value] of Object.entries(input)) {
    const fault = faultIn(name);
    seen.add(plain(name));
    if (fault !== undefined) report.problem(at, `\`${name}\`: ${fault}`, name);
    if (value.split('.').some((part) => part === '')) {
      report.problem([...at, name], 'must be a dotted path into the token answer, such as `data.app_code`');
    }
  }
  const kept = Object.entries(base ?? {}).filter(([name]) => !seen.has(plain(name)));
  return { ...Object.fromEntries(kept), ...input };
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

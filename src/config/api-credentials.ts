import { normalizeHeaderName } from '../http/header-list.ts';
import {
  DEFAULT_TOKEN_HEADER,
  type HeaderRule,
  type TokenHeader,
  type TokenQueryParameter,
} from '../providers/provider.ts';
import type { Diagnostics } from './diagnostics.ts';
import { readDerivedValue } from './resolve-sign.ts';
import { type RouteInput, tokenBlock } from './schema-route.ts';
import type { Path } from './source.ts';
import type { ExchangeContext } from './token-exchange.ts';
import { headerError, isHeaderValue } from './values.ts';

/** What API requests carry. */
export interface ApiCredentials {
  readonly headers: readonly HeaderRule[];
  readonly tokenHeader: TokenHeader | undefined;
  readonly tokenQuery: TokenQueryParameter | undefined;
}

/** The headers of API requests. Those of the route replace those of the provider with the same name. */
export function headersOf(
  path: Path,
  base: readonly HeaderRule[],
  input: Readonly<Record<string, string>>,
  { report, templates }: ExchangeContext,
): HeaderRule[] {
  const seen = new Set<string>();
  const own = Object.entries(input).map(([name, value]): HeaderRule => {
    const twice = seen.has(name.toLowerCase()) ? 'occurs twice (case makes no difference); remove one' : undefined;
    seen.add(name.toLowerCase());
    const error = headerError(name) ?? twice;
    if (error !== undefined) report.problem(path, `\`${name}\`: ${error}`, name);
    else if (!isHeaderValue(value))
      report.problem([...path, name], 'contains a character that a header cannot carry; remove it');
    return { name, value: templates.text([...path, name], value), mode: 'set' };
  });
  return [...base.filter((rule) => !seen.has(rule.name.toLowerCase())), ...own];
}

/** The header that carries the token: the route's or else the provider's. Undefined: `Authorization: Bearer`. */
export function tokenHeaderOf(
  path: Path,
  base: TokenHeader | undefined,
  route: RouteInput,
  headers: readonly HeaderRule[],
  { report, templates }: ExchangeContext,
): TokenHeader | undefined {
  const header = plainTokenHeaderOf(path, base, route, headers, report);
  const written = tokenBlock(route)?.header_value;
  if (written === undefined) return header;
  const at = [...path, 'token', 'header_value'];
  if (route.token_query !== undefined && route.token_header === undefined) {
    report.problem(at, 'no header carries the token: `token_query` does; remove it, or set `token_header` too');
  }
  const value =
    typeof written === 'string' ? { text: templates.signText(at, written) } : readDerivedValue(at, written, templates);
  return { ...(header ?? DEFAULT_TOKEN_HEADER), value };
}

function plainTokenHeaderOf(
  path: Path,
  base: TokenHeader | undefined,
  { token_header: input }: RouteInput,
  headers: readonly HeaderRule[],
  report: Diagnostics,
): TokenHeader | undefined {
  if (input === undefined) return base;
  const at = [...path, 'token_header'];
  const { name = base?.name ?? DEFAULT_TOKEN_HEADER.name } = input;
  const scheme = input.scheme ?? (isAuthorization(name) ? DEFAULT_TOKEN_HEADER.scheme : '');
  if (report.keysAt(at).length === 0) report.problem(at, 'is empty; set the `name` of a header', 'name');
  const error = isAuthorization(name) ? undefined : headerError(name);
  if (error !== undefined) report.problem([...at, 'name'], error);
  else if (headers.some((rule) => normalizeHeaderName(rule.name) === normalizeHeaderName(name))) {
    report.problem([...at, 'name'], 'is also set under `headers`; remove it there');
  }
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]*$/.test(scheme)) {
    report.problem([...at, 'scheme'], 'must be one word such as `Bearer`, or empty; Wakala adds the space after it');
  }
  return { name, scheme, ...(base?.value && { value: base.value }) };
}

/** The query parameter that carries the token. */
export function tokenQueryOf(
  path: Path,
  { token_query: name, token_header: header }: RouteInput,
  report: Diagnostics,
): TokenQueryParameter | undefined {
  if (name === undefined) return undefined;
  if (!/^[\w.~-]{1,100}$/.test(name)) {
    report.problem([...path, 'token_query'], 'must be a name of letters, digits, `_`, `-`, `.` and `~`');
  }
  return { name, withHeader: header !== undefined };
}

function isAuthorization(name: string): boolean {
  return name.toLowerCase() === 'authorization';
}

/** Paths into the token response, by the header that each one fills: the route's, merged over the provider's. */
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
  const nameError = (name: string) => {
    if (headerError(name) !== undefined) return headerError(name);
    if (seen.has(normalizeHeaderName(name)))
      return 'occurs twice (case and `_` for `-` make no difference); remove one';
    if (normalizeHeaderName(name) === normalizeHeaderName((taken.tokenHeader ?? DEFAULT_TOKEN_HEADER).name))
      return 'carries the token; choose another header';
    const isSet = taken.headers.some((rule) => normalizeHeaderName(rule.name) === normalizeHeaderName(name));
    return isSet ? 'is also set under `headers`; keep one' : undefined;
  };
  for (const [name, value] of Object.entries(input)) {
    const error = nameError(name);
    seen.add(normalizeHeaderName(name));
    if (error !== undefined) report.problem(at, `\`${name}\`: ${error}`, name);
    if (value.split('.').some((part) => part === '')) {
      report.problem([...at, name], 'must be a dotted path into the token response, such as `data.app_code`');
    }
  }
  const kept = Object.entries(base ?? {}).filter(([name]) => !seen.has(normalizeHeaderName(name)));
  return { ...Object.fromEntries(kept), ...input };
}

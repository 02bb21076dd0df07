import type { Encoding, Environment, Exchange, ExchangeRequest, ExchangeResponse } from '../providers/provider.ts';
import { headerError, isHeaderValue, pathError } from './http-words.ts';
import type { Diagnostics } from './problems.ts';
import type { RequestInput, ResponseInput } from './schema-token.ts';
import type { Templates } from './templates.ts';
import type { Path } from './tree.ts';
import { checkedUrl } from './urls.ts';

/** What the parts of an exchange are read with. */
export interface ExchangeContext {
  readonly report: Diagnostics;
  readonly templates: Templates;
  readonly environment: Environment;
}

interface ExchangeInput {
  readonly request?: RequestInput | undefined;
  readonly response?: ResponseInput | undefined;
}

const ENCODINGS: readonly Encoding[] = ['json', 'form', 'multipart'];

/**
 * The exchange spelled out at `path`, over the one it changes parts of, if there is one. Undefined, and a problem
 * reported, where something is missing. `extra` are placeholders beside credentials.
 */
export function readExchange(
  path: Path,
  input: ExchangeInput,
  base: Partial<Exchange>,
  reading: ExchangeContext,
  extra: readonly string[] = [],
): Exchange | undefined {
  const request = readRequest([...path, 'request'], input.request, base.request, reading, extra);
  const response = readResponse([...path, 'response'], input.response, base.response, reading.report);
  return request && response && { request, response };
}

function readRequest(
  path: Path,
  input: RequestInput | undefined,
  base: ExchangeRequest | undefined,
  reading: ExchangeContext,
  extra: readonly string[],
): ExchangeRequest | undefined {
  const target = readTarget(path, input, base, reading, extra);
  if (input === undefined) return base;
  const record = (key: 'query' | 'headers') => ({
    ...base?.[key],
    ...templatesOf([...path, key], input[key] ?? {}, reading, extra),
  });
  const { basic } = input;
  const body = readBody(path, input, reading, extra) ?? base?.body;
  const method = input.method ?? base?.method ?? 'POST';
  if (method === 'GET' && body !== undefined) {
    reading.report.problem(path, 'a GET request has no body; use `method: POST`, or put the fields under `query`');
  }
  checkHeaders([...path, 'headers'], input.headers ?? {}, reading.report);
  if (target === undefined) return undefined;
  return {
    method,
    path: target,
    query: record('query'),
    headers: record('headers'),
    ...(basic ? { basic: readBasic([...path, 'basic'], basic, reading, extra) } : base?.basic && { basic: base.basic }),
    ...(body && { body }),
    ...(base?.oauth2 && { oauth2: base.oauth2 }),
  };
}

/** The request's path, or its whole URL. */
function readTarget(
  at: Path,
  input: RequestInput | undefined,
  base: ExchangeRequest | undefined,
  { report, templates, environment }: ExchangeContext,
  extra: readonly string[],
): string | undefined {
  const { path, url } = input ?? {};
  if (path !== undefined && url !== undefined) {
    report.problem(at, '`path` and `url` are both given; keep one', 'url');
  } else if (url !== undefined) {
    const template = templates.plain([...at, 'url'], url, extra);
    return checkedUrl([...at, 'url'], template, environment, report) === undefined ? undefined : template;
  } else if (path !== undefined) {
    const template = templates.plain([...at, 'path'], path, extra);
    const query = path.includes('?') ? 'put the part after `?` under `query`' : undefined;
    const fault = query ?? pathError(path.replace(/\{\w+\}/g, 'x'));
    if (fault !== undefined) report.problem([...at, 'path'], fault);
    return template;
  } else if (base === undefined) {
    const text = 'the token request needs a `path` below the API, or a whole `url`';
    if (!report.isSilenced([...at, 'url'])) report.problem(at, text, 'path');
  }
  return base?.path;
}

function readBody(
  path: Path,
  input: RequestInput,
  reading: ExchangeContext,
  extra: readonly string[],
): ExchangeRequest['body'] {
  const [encoding, ...others] = ENCODINGS.filter((name) => input[name] !== undefined);
  if (encoding === undefined) return undefined;
  for (const other of others) {
    reading.report.problem(path, `\`${encoding}\` and \`${other}\` are both given; a request has one body`, other);
  }
  return { encoding, fields: templatesOf([...path, encoding], input[encoding] ?? {}, reading, extra) };
}

function readBasic(
  path: Path,
  basic: { username: string; password: string },
  { templates }: ExchangeContext,
  extra: readonly string[],
): readonly [string, string] {
  return [
    templates.text([...path, 'username'], basic.username, extra),
    templates.text([...path, 'password'], basic.password, extra),
  ];
}

function templatesOf(
  path: Path,
  input: Readonly<Record<string, string>>,
  { templates }: ExchangeContext,
  extra: readonly string[],
): Record<string, string> {
  const entries = Object.entries(input);
  return Object.fromEntries(entries.map(([name, value]) => [name, templates.text([...path, name], value, extra)]));
}

function checkHeaders(path: Path, headers: Readonly<Record<string, string>>, report: Diagnostics): void {
  for (const [name, value] of Object.entries(headers)) {
    const fault = name.toLowerCase() === 'authorization' ? undefined : headerError(name);
    if (fault !== undefined) report.problem(path, `\`${name}\`: ${fault}`, name);
    else if (!isHeaderValue(value)) report.problem([...path, name], 'holds a character that no header can carry');
  }
}

function readResponse(
  path: Path,
  input: ResponseInput | undefined,
  base: ExchangeResponse | undefined,
  report: Diagnostics,
): ExchangeResponse | undefined {
  for (const [key, value] of Object.entries(input ?? {})) {
    if (value === undefined || value.split('.').every((part) => part !== '')) continue;
    report.problem([...path, key], 'must be a dotted path into the answer, such as `data.accessToken`');
  }
  const accessToken = input?.access_token ?? base?.accessToken;
  if (accessToken === undefined) {
    report.problem(path, 'say where in the answer the token is, e.g. `access_token: access_token`', 'access_token');
    return undefined;
  }
  return {
    ...base,
    accessToken,
    ...(input?.expires_in !== undefined && { expiresIn: input.expires_in }),
    ...(input?.expires_at !== undefined && { expiresAt: input.expires_at }),
    ...(input?.refresh_token !== undefined && { refreshToken: input.refresh_token }),
  };
}

import { type JsonObject, type JsonScalar, type JsonValue, mapStrings } from '../json.ts';
import {
  type Encoding,
  type Environment,
  type Exchange,
  type ExchangeRequest,
  type ExchangeResponse,
  isRequested,
  type Provider,
  type ResponseRule,
} from '../providers/provider.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { Templates } from './interpolate.ts';
import { readDerivedValues } from './resolve-sign.ts';
import { fallbackOf } from './schema-fields.ts';
import { type RouteInput, tokenBlock } from './schema-route.ts';
import { type RequestInput, type ResponseInput, token, type TokenInput } from './schema-token.ts';
import type { Path } from './source.ts';
import { checkedUrl, headerError, isHeaderValue, pathError } from './values.ts';

export interface ExchangeContext {
  readonly report: Diagnostics;
  readonly templates: Templates;
  readonly environment: Environment;
  readonly allowAddresses: readonly string[];
}

export interface Exchanges {
  readonly token: Exchange;
  readonly refresh: Exchange | undefined;
}

/** The exchanges of the route: its `token` merged over the provider. Undefined if something is missing. */
export function exchangesOf(
  path: Path,
  base: Provider | undefined,
  input: RouteInput,
  context: ExchangeContext,
): Exchanges | undefined {
  const { report } = context;
  const at = [...path, 'token'];
  const written = tokenBlock(input) ?? {};
  const known = base !== undefined && isRequested(base.token) ? base.token : {};
  const token = readExchange(at, written, known, context);
  const refresh = token && readRefresh(at, written, token, base?.refresh, context);
  if (token === undefined) return undefined;
  const sent = input.encoding === undefined ? token : encoded(path, token, input.encoding, report);
  checkOwnHeaders([...at, 'request'], written.request, sent.request, report);
  if (refresh !== undefined) {
    checkOwnHeaders([...at, 'refresh', 'request'], written.refresh?.request, refresh.request, report);
  }
  return { token: sent, refresh };
}

function encoded(path: Path, exchange: Exchange, encoding: Encoding, report: Diagnostics): Exchange {
  const { body } = exchange.request;
  const at = [...path, 'encoding'];
  if (body === undefined) {
    report.problem(at, 'the token request of this provider has no body; remove `encoding`');
    return exchange;
  }
  const nested = Object.entries(body.fields).find(([, value]) => typeof value === 'object');
  if (encoding !== 'json' && nested !== undefined) {
    report.problem(at, `the value of \`${nested[0]}\` needs a JSON body; remove \`encoding\``);
  }
  return { ...exchange, request: { ...exchange.request, body: { ...body, encoding } } };
}

/** Reports headers that the request as it is sent would not have, or not with this value. */
function checkOwnHeaders(
  path: Path,
  written: RequestInput | undefined,
  { body, basic }: ExchangeRequest,
  report: Diagnostics,
): void {
  const seen = new Set<string>();
  for (const name of Object.keys(written?.headers ?? {})) {
    const key = name.toLowerCase();
    const at = [...path, 'headers'];
    if (seen.has(key)) report.problem(at, `\`${name}\`: occurs twice (case makes no difference); remove one`, name);
    seen.add(key);
    if (key === 'authorization' && basic !== undefined) {
      report.problem(at, `\`${name}\`: HTTP Basic sets this header; remove it here, or remove \`basic\``, name);
    }
    if (key !== 'content-type') continue;
    if (body === undefined) report.problem(at, `\`${name}\`: the request has no body; remove it`, name);
    else if (body.encoding === 'multipart') {
      report.problem(at, `\`${name}\`: Wakala sets it for \`multipart\`, with the boundary; remove it`, name);
    }
  }
}

function readRefresh(
  at: Path,
  { refresh }: TokenInput,
  token: Exchange,
  base: Exchange | undefined,
  context: ExchangeContext,
): Exchange | undefined {
  if (refresh === undefined) return base;
  const path = [...at, 'refresh'];
  if (token.response.refreshToken === undefined) {
    const text =
      'the place of the refresh token in the token response is missing; set `response: {refresh_token: ...}`';
    context.report.problem([...at, 'response'], text, 'refresh_token');
  }
  const known = base ?? { response: token.response };
  return readExchange(path, refresh, known, context, ['refresh_token']);
}

/** Undefined if the route has none. */
export interface Rules {
  readonly deadToken: readonly ResponseRule[] | undefined;
  readonly deniedToken: readonly ResponseRule[] | undefined;
}

/** The rules of the `token` block at `path`. */
export function readRules(path: Path, input: TokenInput | undefined, report: Diagnostics): Rules {
  const rulesAt = (key: 'dead_token' | 'denied_token') =>
    input?.[key]?.map(({ status, body }, i): ResponseRule => {
      if (body === undefined) return { status };
      const at = [...path, key, i, 'body'];
      const values = Object.entries(body).map(([name, value]): [string, JsonScalar] => [
        name,
        asWritten([...at, name], value, report),
      ]);
      return { status, body: Object.fromEntries(values) };
    });
  return { deadToken: rulesAt('dead_token'), deniedToken: rulesAt('denied_token') };
}

/** The value; a number whose text would change, such as `401.10`, as its text in the file. */
function asWritten(path: Path, value: JsonScalar, report: Diagnostics): JsonScalar {
  const written = report.writtenAt(path);
  if (value === null && written === '') report.problem(path, 'is empty; write a value, or `null`');
  return typeof value === 'number' && written !== undefined && !report.isInterpolated(path) && written !== String(value)
    ? written
    : value;
}

interface ExchangeInput {
  readonly request?: RequestInput | undefined;
  readonly response?: ResponseInput | undefined;
}

const DEFAULT_METHOD = fallbackOf(token.shape.request.unwrap().shape.method);
const ENCODINGS: readonly Encoding[] = ['json', 'form', 'multipart'];

/**
 * The exchange at `path`, merged over `base`. Undefined if something is missing; then a problem is reported. `extra`:
 * placeholders beside those of the credentials.
 */
function readExchange(
  path: Path,
  input: ExchangeInput,
  base: Partial<Exchange>,
  context: ExchangeContext,
  extra: readonly string[] = [],
): Exchange | undefined {
  const request = readRequest([...path, 'request'], input.request, base.request, context, extra);
  const response = readResponse([...path, 'response'], input.response, base.response, context.report);
  return request && response && { request, response };
}

function readRequest(
  path: Path,
  input: RequestInput | undefined,
  base: ExchangeRequest | undefined,
  context: ExchangeContext,
  extra: readonly string[],
): ExchangeRequest | undefined {
  const values = {
    ...base?.values,
    ...(input?.values && readDerivedValues([...path, 'values'], input.values, context.templates)),
  };
  const names = Object.keys(values);
  const known = [...extra, ...names];
  const target = readTarget(path, input, base, context, known);
  if (input === undefined) return base;
  const record = (key: 'query' | 'headers') => ({
    ...base?.[key],
    ...templatesOf([...path, key], input[key] ?? {}, context, known),
  });
  const { basic } = input;
  const body = readBody(path, input, context, known) ?? base?.body;
  const method = input.method ?? base?.method ?? DEFAULT_METHOD;
  if (method === 'GET' && body !== undefined) {
    context.report.problem(path, 'a GET request has no body; use `method: POST`, or put the fields under `query`');
  }
  checkHeaders([...path, 'headers'], input.headers ?? {}, context.report);
  if (target === undefined) return undefined;
  return {
    method,
    path: target,
    query: record('query'),
    headers: record('headers'),
    ...(basic ? { basic: readBasic([...path, 'basic'], basic, context, known) } : base?.basic && { basic: base.basic }),
    ...(body && { body }),
    ...(base?.oauth2 && { oauth2: base.oauth2 }),
    ...(names.length > 0 && { values }),
  };
}

/** The path of the request, or its absolute URL. */
function readTarget(
  at: Path,
  input: RequestInput | undefined,
  base: ExchangeRequest | undefined,
  { report, templates, environment, allowAddresses }: ExchangeContext,
  extra: readonly string[],
): string | undefined {
  const { path, url } = input ?? {};
  if (path !== undefined && url !== undefined) {
    report.problem(at, '`path` and `url` are both set; keep one', 'url');
  } else if (url !== undefined) {
    const template = templates.plain([...at, 'url'], url, extra);
    return checkedUrl([...at, 'url'], template, environment, report, allowAddresses) === undefined
      ? undefined
      : template;
  } else if (path !== undefined) {
    const template = templates.plain([...at, 'path'], path, extra);
    const query = path.includes('?') ? 'put the part after `?` under `query`' : undefined;
    const error = query ?? pathError(path.replace(/\{\w+\}/g, 'x'));
    if (error !== undefined) report.problem([...at, 'path'], error);
    return template;
  } else if (base === undefined) {
    const text = 'the token request has no target; set `path`, or an absolute `url`';
    if (!report.isSilenced([...at, 'url'])) report.problem(at, text, 'path');
  }
  return base?.path;
}

function readBody(
  path: Path,
  input: RequestInput,
  context: ExchangeContext,
  extra: readonly string[],
): ExchangeRequest['body'] {
  const [encoding, ...others] = ENCODINGS.filter((name) => input[name] !== undefined);
  if (encoding === undefined) return undefined;
  for (const other of others) {
    context.report.problem(
      path,
      `\`${encoding}\` and \`${other}\` are both set, but a request has one body; keep one`,
      other,
    );
  }
  const at = [...path, encoding];
  if (encoding !== 'json') return { encoding, fields: templatesOf(at, input[encoding] ?? {}, context, extra) };
  const json = (input.json ?? {}) as JsonObject;
  checkNumbers(at, json, context.report);
  const fields = mapStrings(json, (text, below) => context.templates.text([...at, ...below], text, extra));
  return { encoding, fields: fields as JsonObject };
}

/** Reports numbers that JavaScript cannot hold exactly. */
function checkNumbers(path: Path, json: JsonValue, report: Diagnostics): void {
  if (typeof json === 'number' && Number.isInteger(json) && !Number.isSafeInteger(json)) {
    report.problem(path, 'has too many digits for a number; put it in quotes if the provider accepts a text');
  }
  if (typeof json !== 'object' || json === null) return;
  for (const [key, value] of Object.entries(json)) checkNumbers([...path, key], value, report);
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
    const error = name.toLowerCase() === 'authorization' ? undefined : headerError(name);
    if (error !== undefined) report.problem(path, `\`${name}\`: ${error}`, name);
    else if (!isHeaderValue(value))
      report.problem([...path, name], 'contains a character that a header cannot carry; remove it');
  }
}

function readResponse(
  path: Path,
  input: ResponseInput | undefined,
  base: ExchangeResponse | undefined,
  report: Diagnostics,
): ExchangeResponse | undefined {
  const { format, ...paths } = input ?? {};
  for (const [key, value] of Object.entries(paths)) {
    if (format === 'text' && value !== undefined) {
      report.problem(path, `with \`format: text\` the whole body is the token; remove \`${key}\``, key);
    } else if (value !== undefined && value.split('.').includes('')) {
      report.problem([...path, key], 'must be a dotted path into the response, such as `data.accessToken`');
    }
  }
  if (format === 'text') return { format, accessToken: base?.accessToken ?? DEFAULT_TOKEN_FIELD };
  const accessToken = input?.access_token ?? base?.accessToken;
  if (accessToken === undefined) {
    report.problem(
      path,
      'the place of the token in the response is missing; set it, such as `access_token: access_token`',
      'access_token',
    );
    return undefined;
  }
  return {
    ...base,
    ...(format && { format }),
    accessToken,
    ...(input?.expires_in !== undefined && { expiresIn: input.expires_in }),
    ...(input?.expires_at !== undefined && { expiresAt: input.expires_at }),
    ...(input?.refresh_token !== undefined && { refreshToken: input.refresh_token }),
  };
}

/** Where a token that is the whole body is stored while the response is read. */
const DEFAULT_TOKEN_FIELD = 'access_token';

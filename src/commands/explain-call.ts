import { readFileSync } from 'node:fs';
import type { RouteConfig } from '../config/config.ts';
import { readError } from '../config/disk.ts';
import { isHeaderName, isHeaderValue, parseMethod, pathError } from '../config/values.ts';
import { statusOf } from '../errors.ts';
import { originOf } from '../http/client/origin.ts';
import { normalizeHeaderName } from '../http/header-list.ts';
import { hasToken } from '../providers/provider.ts';
import { providerNamed } from '../providers/registry.ts';
import type { SignRule } from '../providers/sign-rule.ts';
import { fill } from '../providers/template.ts';
import { allows, notAllowed } from '../proxy/route.ts';
import { explain, type ExplainedRule } from '../signing/explain.ts';
import type { UnsignedRequest } from '../signing/outgoing-request.ts';
import { signScopeOf } from '../signing/scope.ts';
import { Signer } from '../signing/signer.ts';

/** A call whose rules are explained. */
export interface CallOptions {
  /** `POST /path?query`, below the prefix of the route. */
  readonly call?: string | undefined;
  /** A file with the body. */
  readonly body?: string | undefined;
  /** `Name: value`. */
  readonly header?: readonly string[] | undefined;
}

interface Call {
  readonly method: string;
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Buffer | undefined;
}

/** Reads the options of a call. `problem` is for the terminal. */
export function readCall({ call = '', body, header = [] }: CallOptions): Call | { readonly problem: string } {
  const [, method = '', path = '', query = ''] = /^(\S+) +([^?\s]+)(\?[!-~]*)?$/.exec(call) ?? [];
  if (path === '') return { problem: "name a call after the route, such as `--explain mpesa 'POST /v1/payments'`" };
  const parsed = parseMethod(method);
  const callError = 'problem' in parsed ? parsed.problem : pathError(path);
  if (callError !== undefined) return { problem: `\`${call}\`: ${callError}` };
  const headers: string[] = [];
  for (const line of header) {
    const [name = ''] = line.split(':', 1);
    const value = line.slice(name.length + 1).trim();
    if (!line.includes(':') || !isHeaderName(name) || !isHeaderValue(value)) {
      return { problem: `\`--header\` must be \`Name: value\`, such as \`--header 'Content-Type: application/json'\`` };
    }
    headers.push(name, value);
  }
  try {
    return { method, path, query, headers, body: body === undefined ? undefined : readFileSync(body) };
  } catch (error) {
    return { problem: `cannot read the file \`${body}\`: ${readError(error)}` };
  }
}

/** What the rules of a route do with one call. */
interface Explanation {
  readonly route: string;
  readonly call: string;
  /** `from`: where a rule is written, such as `sign.0`. */
  readonly rules: readonly (Omit<ExplainedRule, 'index'> & { readonly from: string })[];
  /** If the path was probably meant without the prefix of the route: the call without it. */
  readonly withoutPrefix: string | null;
  /** Whether a rule is for the call. */
  readonly signed: boolean;
  /** If no rule applies: the entry of `calls` that is most like the call. */
  readonly nearest: string | null;
  /** Why the call would be refused. `rules` then ends before the rule that failed. */
  readonly refused: { readonly code: string; readonly detail: string } | null;
}

/** @param nowMs milliseconds since the Unix epoch */
export function explainCall(route: RouteConfig, call: Call, nowMs: number): Explanation {
  const { provider, credentials, name } = route;
  const { sign = [] } = provider;
  const shown = `${call.method} ${call.path}`;
  const builtIn = providerNamed(provider.name)?.sign ?? [];
  const own = sign.filter((rule) => !builtIn.includes(rule));
  const fromOf = (index: number) => {
    const rule = sign[index];
    return rule !== undefined && own.includes(rule) ? `sign.${own.indexOf(rule)}` : provider.name;
  };
  const scope = signScopeOf(provider, credentials);
  const explained = explain(sign, scope, requestOf(route, call, nowMs));
  const rules = explained.rules.map(({ index, ...rule }) => ({ from: fromOf(index), ...rule }));
  const withoutPrefix = callWithoutPrefix(route, call, new Signer(sign, scope));
  const signed = rules.length > 0 || explained.refused !== undefined;
  const refused = allows(route, call.method, call.path) ? explained.refused : notAllowed(name);
  return {
    route: name,
    call: shown,
    rules,
    withoutPrefix: withoutPrefix ?? null,
    signed,
    nearest: (!signed && withoutPrefix === undefined ? nearestCall(shown, sign) : undefined) ?? null,
    refused: refused === undefined ? null : { code: refused.code, detail: refused.message },
  };
}

/** The call without the prefix of the route, if a rule is for that. */
function callWithoutPrefix({ prefix }: RouteConfig, { method, path }: Call, signer: Signer): string | undefined {
  if (prefix === '' || !path.startsWith(`${prefix}/`)) return undefined;
  const rest = path.slice(prefix.length);
  return signer.for(method, rest) === undefined ? undefined : `${method} ${rest}`;
}

/** The request as the rules see it. The token is a stand-in, which is not shown. */
function requestOf(route: RouteConfig, call: Call, nowMs: number): UnsignedRequest {
  const { upstream, hostHeader, provider } = route;
  const origin = originOf(upstream);
  return {
    ...call,
    host: hostHeader ?? origin.hostHeader,
    basePath: upstream.replace(/^[a-z]+:\/\/[^/]*/i, ''),
    headers: withRouteHeaders(route, call.headers),
    accessToken: hasToken(provider.token) ? 'token' : undefined,
    nowMs,
  };
}

/** The headers of the call and of the route. A secret credential in them is shown as `[name]`. */
function withRouteHeaders({ headers, provider, credentials, environment }: RouteConfig, given: readonly string[]) {
  const shown = new Map<string, string | undefined>(
    provider.credentials.map(({ name, secret }) => [name, secret ? `[${name}]` : credentials.get(name)?.reveal()]),
  );
  let list = [...given];
  for (const { name, value, mode } of headers) {
    const isSame = (_: string, i: number) => normalizeHeaderName(list[i - (i % 2)] ?? '') === normalizeHeaderName(name);
    if (mode === 'default' && list.some(isSame)) continue;
    const template = typeof value === 'string' ? value : value[environment];
    list = [...list.filter((each, i) => !isSame(each, i)), name, fill(template, (each) => shown.get(each))];
  }
  return list;
}

/** The entry of `calls` that differs least from a call. */
function nearestCall(call: string, rules: readonly SignRule[]): string | undefined {
  const ranked = rules
    .flatMap(({ calls }) => calls)
    .map((each) => ({ each, differences: differences(each, call) }))
    .sort((a, b) => a.differences - b.differences);
  return ranked[0]?.each;
}

/** How many segments differ. The method counts as one. */
function differences(pattern: string, call: string): number {
  const [wanted, given] = [pattern, call].map((text) => text.split('/').map((part) => part.trim())) as [
    string[],
    string[],
  ];
  const common = wanted.filter((segment, i) => segment === given[i] || segment === '*' || segment.startsWith('{'));
  return Math.max(wanted.length, given.length) - common.length;
}

/** The explanation for a terminal. */
export function explanationText({ route, call, rules, signed, withoutPrefix, nearest, refused }: Explanation): string {
  const lines = rules.flatMap(ruleLines);
  if (!signed) {
    if (nearest !== null) lines.push(`No rule applies to this call. The nearest is for \`${nearest}\`.`);
    else lines.push(`No rule applies to this call.${withoutPrefix === null ? ' The route has none.' : ''}`);
  }
  if (withoutPrefix !== null) {
    lines.push(`Name the path below the prefix of the route. Did you mean \`${withoutPrefix}\`?`);
  }
  if (refused !== null) {
    const { code, detail } = refused;
    lines.push(`The call would be refused with ${statusOf(code) ?? ''} \`${code}\`: ${detail}`);
  }
  return [`${route} ${call}`, ...lines.map((line) => `  ${line}`), ''].join('\n');
}

function ruleLines({ from, call, values, targets, skipped }: Explanation['rules'][number]): string[] {
  const rows = [
    ...values.map((value) => [value.name, value.function, isWithoutInput(value) ? '' : quoted(value.text)]),
    ...targets.map(({ target, name, text }) => [`${target}.${name}`, '', quoted(text)]),
  ];
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return [
    `${from}: ${call}`,
    ...(skipped === undefined ? [] : [`  skipped: ${skipped}`]),
    ...rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd()),
  ];
}

function isWithoutInput(value: { readonly function: string }): boolean {
  return value.function === 'uuid' || value.function === 'random';
}

/** In double quotes, with backslashes and all characters that cannot be seen escaped, so that each byte is certain. */
function quoted(text: string): string {
  const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };
  const escaped = text.replaceAll(
    /\\|(?! )[\p{C}\p{Z}]/gu,
    (char) => escapes[char] ?? `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
  return `"${escaped}"`;
}

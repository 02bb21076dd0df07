import { didYouMean } from '../config/diagnostics.ts';
import { formatDefault, routeText, variableOf } from '../config/starter.ts';
import {
  type CredentialField,
  DEFAULT_TOKEN_HEADER,
  type ExchangeRequest,
  type ExchangeResponse,
  type HeaderRule,
  isRequested,
  type Provider,
  type ResponseRule,
} from '../providers/provider.ts';
import { providerNamed, providers as builtIn } from '../providers/registry.ts';
import { type DerivedValue, type DerivedValues, targetsOf } from '../providers/sign-rule.ts';
import { EXIT, type Io } from './io.ts';

interface ProvidersOptions {
  /** The provider to describe. Undefined: list all providers. */
  readonly name?: string | undefined;
  readonly json: boolean;
}

type Output = Pick<Io, 'stdout' | 'stderr'>;

/** Lists the built-in providers, or describes one. Exit code: 0, or 2 for an unknown name. */
export function providers({ name, json }: ProvidersOptions, io: Output): number {
  if (name === undefined) {
    io.stdout(json ? jsonText(builtIn.map(providerAsJson)) : table());
    return EXIT.ok;
  }
  const provider = providerNamed(name);
  if (provider === undefined) {
    const names = builtIn.map((known) => known.name);
    const guess = didYouMean(name, names) || `; the providers are ${names.join(', ')}`;
    io.stderr(`wakala providers: unknown provider \`${name}\`${guess}\n`);
    return EXIT.usage;
  }
  io.stdout(json ? jsonText(providerAsJson(provider)) : page(provider));
  return EXIT.ok;
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function providerAsJson(provider: Provider) {
  const { name, title, hosts, credentials, token, refresh, deadToken, deniedToken, headers, sign, traps } = provider;
  return {
    name,
    title,
    hosts: hosts ?? null,
    credentials: credentials.map((field) => ({ ...field, variable: variableOf(provider, field.name) })),
    token,
    refresh: refresh ?? null,
    dead_token: deadToken,
    denied_token: deniedToken ?? [],
    headers,
    sign: sign ?? [],
    read_only_call: provider.readOnlyCall ? `GET ${provider.readOnlyCall.path}` : null,
    traps,
    sources: sourcesOf(provider),
    example: snippet(provider),
  };
}

function table(): string {
  const rows = [
    ['NAME', 'PROVIDER', 'CREDENTIALS'],
    ...builtIn.map(({ name, title, credentials }) => [name, title, credentials.map((field) => field.name).join(', ')]),
  ];
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  return `${lines.join('\n')}\n\n\`wakala providers NAME\` describes one provider.\n`;
}

function page(provider: Provider): string {
  const { name, title, credentials, headers, traps } = provider;
  const width = Math.max(...credentials.map((field) => field.name.length));
  const sections: [heading: string, lines: readonly string[]][] = [
    ['Hosts', hostLines(provider)],
    ['Token', exchangeLines(provider)],
    ['Headers', [...tokenHeaderLines(provider), ...headers.map(formatHeader)]],
    ['Fills in', fillsIn(provider).map(formatFillsIn)],
    ['Credentials', credentials.map((field) => `${field.name.padEnd(width)}  ${formatField(field)}`)],
    ['Watch out', traps.map((trap) => `- ${trap}`)],
    ['Sources', sourcesOf(provider).map((source) => `- ${source}`)],
    ['Configuration', snippet(provider).trimEnd().split('\n')],
  ];
  const printed = sections.filter(([, lines]) => lines.length > 0);
  const texts = printed.map(([heading, lines]) => `${heading}\n${lines.map((line) => `  ${line}\n`).join('')}`);
  return `${name}: ${title}\n\n${texts.join('\n')}`;
}

function hostLines({ hosts }: Provider): string[] {
  if (hosts === undefined) return ['none: set `upstream` on the route'];
  return (['sandbox', 'production'] as const).flatMap((environment) => {
    const { api, auth } = hosts[environment];
    const line = `${environment.padEnd(10)}  ${api}`;
    return auth === undefined ? [line] : [line, `${' '.repeat(10)}  ${auth} (tokens)`];
  });
}

function exchangeLines({ token, refresh, defaultLifetimeS, deadToken, deniedToken = [] }: Provider): string[] {
  if (!isRequested(token)) return ['never requested: the credential itself is sent on every request'];
  return [
    `request   ${formatRequest(token.request)}`,
    `response  ${formatResponse(token.response, defaultLifetimeS)}`,
    ...(refresh === undefined ? [] : [`refresh   ${formatRequest(refresh.request)}`]),
    ...(deniedToken.length === 0 ? [] : [`denied    also ${formatRules(deniedToken)}`]),
    `expired   if an API response is ${formatRules(deadToken)}`,
  ];
}

/** Undefined if the token header has the token itself. */
export function formatTokenHeader({ tokenHeader }: Provider): string | undefined {
  if (tokenHeader?.value === undefined) return undefined;
  const { name, scheme, value } = tokenHeader;
  const header = name === DEFAULT_TOKEN_HEADER.name ? 'Authorization' : name;
  return `${header}: ${scheme === '' ? '' : `${scheme} `}{value}, where {value} is ${formatValue(value)}`;
}

function tokenHeaderLines(provider: Provider): string[] {
  const line = formatTokenHeader(provider);
  return line === undefined ? [] : [line];
}

/** Where the facts about a provider come from. */
export function sourcesOf({ sources, readOnlyCall }: Provider): readonly string[] {
  return readOnlyCall === undefined ? sources : [...sources, readOnlyCall.source];
}

/** `401, or 404 with errorCode = 404.001.03`. */
export function formatRules(rules: readonly ResponseRule[]): string {
  const words = rules.map(({ status, body = {} }) =>
    [status, ...Object.entries(body).map(([path, value]) => `with ${path} = ${value}`)].join(' '),
  );
  return words.join(', or ');
}

export function formatHeader({ name, value, mode }: HeaderRule): string {
  const values =
    typeof value === 'string' ? [value] : Object.entries(value).map(([where, one]) => `${one} in ${where}`);
  return `${name}: ${values.join(', ')}${mode === 'default' ? ' (unless the app sends its own)' : ''}`;
}

/** What Wakala fills in on which calls. Rules with the same targets are one. */
export interface FilledIn {
  readonly targets: readonly string[];
  readonly calls: readonly string[];
  /** The optional credential that switches it on. */
  readonly when: string | undefined;
}

export function fillsIn({ sign = [] }: Provider): readonly FilledIn[] {
  const groups = Map.groupBy(sign, (rule) => [rule.when, ...targetsOf(rule)].join(' '));
  return [...groups.values()].map((rules) => ({
    targets: rules[0] === undefined ? [] : targetsOf(rules[0]),
    calls: rules.flatMap((rule) => rule.calls),
    when: rules[0]?.when,
  }));
}

function formatFillsIn({ targets, calls, when }: FilledIn): string {
  return `${targets.join(', ')}${when === undefined ? '' : ` if ${when} is set`}: ${calls.join(', ')}`;
}

export function formatField(field: CredentialField): string {
  if (field.default !== undefined) return `${field.description} (default: ${formatDefault(field)})`;
  if (field.optional === true) return `${field.description} (optional)`;
  return field.example === undefined ? field.description : `${field.description} (for example ${field.example})`;
}

/** The computed values of a token request, in words: `{t}` is `rsa_encrypt` of `{api_key}`, and so on. */
export function formatValues(values: DerivedValues): string[] {
  return Object.entries(values).map(([name, value]) => `{${name}} is ${formatValue(value)}`);
}

/** `rsa_encrypt: {api_key}, key: {public_key}, padding: pkcs1`. */
export function formatValue(value: DerivedValue): string {
  return Object.entries(value)
    .map(([key, text]) => `${key}: ${String(text)}`)
    .join(', ');
}

export function formatRequest({ method, path, query, headers, basic, body, values }: ExchangeRequest): string {
  const parameters = new URLSearchParams(query).toString();
  const parts = [`${method} ${path}${parameters === '' ? '' : `?${parameters}`}`];
  if (basic !== undefined) parts.push(`Basic ${basic.join(':')}`);
  for (const [name, value] of Object.entries(headers ?? {})) parts.push(`header ${name}: ${value}`);
  if (body !== undefined) parts.push(`${body.encoding} ${Object.keys(body.fields).join(', ')}`);
  parts.push(...formatValues(values ?? {}));
  return parts.join('; ');
}

function formatResponse(response: ExchangeResponse, defaultLifetimeS: number): string {
  const { accessToken, expiresIn, expiresAt, refreshToken } = response;
  const parts = [`token in \`${accessToken}\``];
  if (refreshToken !== undefined) parts.push(`refresh token in \`${refreshToken}\``);
  if (expiresIn !== undefined) parts.push(`lifetime in seconds in \`${expiresIn}\``);
  else if (expiresAt !== undefined) parts.push(`expiry time in \`${expiresAt}\``);
  else parts.push(`lifetime from the token itself, or ${Math.round(defaultLifetimeS / 60)} min`);
  return parts.join(', ');
}

/** A configuration file with one route, valid once the variables are set. */
export function snippet(provider: Provider): string {
  return `routes:\n${routeText(provider)}`;
}

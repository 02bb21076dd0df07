import { didYouMean } from '../config/nearest.ts';
import { routeText, variableOf } from '../config/starter.ts';
import { type ExchangeRequest, type ExchangeResponse, isFixed, type Provider } from '../providers/provider.ts';
import { providerNamed, providers as builtIn } from '../providers/registry.ts';
import { EXIT, type Io } from './io.ts';

export interface ProvidersOptions {
  /** The provider to tell about; undefined lists them all. */
  readonly name?: string | undefined;
  readonly json: boolean;
}

type Output = Pick<Io, 'stdout' | 'stderr'>;

/** Lists the built-in providers, or tells all about one. Exit code: 0, or 2 for a name that is none. */
export function providers({ name, json }: ProvidersOptions, io: Output): number {
  if (name === undefined) {
    io.stdout(json ? jsonText(builtIn.map(described)) : table());
    return EXIT.ok;
  }
  const provider = providerNamed(name);
  if (provider === undefined) {
    const names = builtIn.map((known) => known.name);
    const guess = didYouMean(name, names) || `; there are ${names.join(', ')}`;
    io.stderr(`wakala providers: no provider is named \`${name}\`${guess}\n`);
    return EXIT.usage;
  }
  io.stdout(json ? jsonText(described(provider)) : page(provider));
  return EXIT.ok;
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function described(provider: Provider) {
  const { name, title, hosts, credentials, token, refresh, deadToken, traps, sources } = provider;
  return {
    name,
    title,
    hosts: hosts ?? null,
    credentials: credentials.map((field) => ({ ...field, variable: variableOf(provider, field.name) })),
    token,
    refresh: refresh ?? null,
    dead_token: deadToken,
    traps,
    sources,
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
  return `${lines.join('\n')}\n\n\`wakala providers NAME\` tells more about one.\n`;
}

function page(provider: Provider): string {
  const { name, title, credentials, traps, sources } = provider;
  const width = Math.max(...credentials.map((field) => field.name.length));
  const sections: [heading: string, lines: readonly string[]][] = [
    ['Hosts', hostLines(provider)],
    ['Token', exchangeLines(provider)],
    ['Credentials', credentials.map((field) => `${field.name.padEnd(width)}  ${field.description}`)],
    ['Watch out', traps.map((trap) => `- ${trap}`)],
    ['Sources', sources.map((source) => `- ${source}`)],
    ['Configuration', snippet(provider).trimEnd().split('\n')],
  ];
  const printed = sections.filter(([, lines]) => lines.length > 0);
  const texts = printed.map(([heading, lines]) => `${heading}\n${lines.map((line) => `  ${line}\n`).join('')}`);
  return `${name}: ${title}\n\n${texts.join('\n')}`;
}

function hostLines({ hosts }: Provider): string[] {
  if (hosts === undefined) return ['none of its own: set `upstream` on the route'];
  return (['sandbox', 'production'] as const).flatMap((environment) => {
    const { api, auth } = hosts[environment];
    const line = `${environment.padEnd(10)}  ${api}`;
    return auth === undefined ? [line] : [line, `${' '.repeat(10)}  ${auth} (tokens)`];
  });
}

function exchangeLines({ token, refresh, defaultLifetimeS, deadToken }: Provider): string[] {
  if (isFixed(token)) return ['never asked for: the credential itself is put on every call'];
  const minutes = `${Math.round(defaultLifetimeS / 60)} min`;
  const dead = deadToken.map(({ status, body = {} }) =>
    [status, ...Object.entries(body).map(([path, value]) => `with ${path} = ${value}`)].join(' '),
  );
  return [
    `asked for with  ${requestInWords(token.request)}`,
    `answer          ${responseInWords(token.response, minutes)}`,
    ...(refresh === undefined ? [] : [`refreshed with  ${requestInWords(refresh.request)}`]),
    `dead when       an API call answers ${dead.join(', or ')}`,
  ];
}

function requestInWords({ method, path, query, basic, body }: ExchangeRequest): string {
  const parameters = new URLSearchParams(query).toString();
  const parts = [`${method} ${path}${parameters === '' ? '' : `?${parameters}`}`];
  if (basic !== undefined) parts.push(`Basic ${basic.join(':')}`);
  if (body !== undefined) parts.push(`${body.encoding} ${Object.keys(body.fields).join(', ')}`);
  return parts.join('; ');
}

function responseInWords(response: ExchangeResponse, defaultLifetime: string): string {
  const { accessToken, expiresIn, expiresAt, refreshToken } = response;
  const parts = [`token in \`${accessToken}\``];
  if (refreshToken !== undefined) parts.push(`refresh token in \`${refreshToken}\``);
  if (expiresIn !== undefined) parts.push(`lifetime in seconds in \`${expiresIn}\``);
  else if (expiresAt !== undefined) parts.push(`time of expiry in \`${expiresAt}\``);
  else parts.push(`lifetime from the token itself, else ${defaultLifetime}`);
  return parts.join(', ');
}

/** A whole file with one route, which is good once the variables are set. */
function snippet(provider: Provider): string {
  return `routes:\n${routeText(provider)}`;
}

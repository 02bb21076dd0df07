import type { ConnectOptions, EgressProxy, EgressRules, TlsIdentity } from '../http/client/connect-options.ts';
import { hostWithoutBrackets, isLoopbackName } from '../http/ip-address.ts';
import { isRequested, type Provider, usesCertificate } from '../providers/provider.ts';
import { Secret } from '../secret.ts';
import type { FileModeContext } from './disk.ts';
import type { RouteInput } from './schema-route.ts';
import type { Path } from './source.ts';
import { readRouteTls } from './tls.ts';
import { isLinkLocal, type Parsed } from './values.ts';

export interface ConnectionContext extends FileModeContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/** The servers of a route. */
interface Servers {
  readonly upstream: string;
  readonly authServer: string;
  readonly provider: Provider;
  /** The client certificate of `oauth2`, for the token endpoint alone. */
  readonly tokenCertificate: Pick<TlsIdentity, 'cert' | 'key'> | undefined;
}

interface Connections {
  readonly connection: ConnectOptions;
  readonly tokenConnection: ConnectOptions;
}

/** How connections to the API and to the token endpoint of a route are made. Emulators are reached directly. */
export function readConnections(
  path: Path,
  input: RouteInput,
  servers: Servers,
  { egress: defaultEgress, ...context }: ConnectionContext & { readonly egress: DefaultEgress },
): Connections {
  if (context.emulated) return { connection: {}, tokenConnection: {} };
  const egress = readEgress(path, input, servers, defaultEgress, context);
  const { allow_addresses: allowAddresses } = input;
  const common = { ...(egress && { egress }), ...(allowAddresses && { allowAddresses }) };
  const tls = input.tls && readRouteTls(path, input.tls, context);
  checkTls(path, input, servers, context);
  const tokenTls = tokenTlsOf(tls, input, servers);
  const tokenHostHeader = isAtUpstream(servers) ? input.host_header : undefined;
  return {
    connection: { ...common, ...(tls && { tls }) },
    tokenConnection: { ...common, ...(tokenTls && { tls: tokenTls }), ...(tokenHostHeader && { tokenHostHeader }) },
  };
}

/** The URL of the token endpoint or of the issuer that names it. Undefined if no token is requested. */
function tokenUrlOf({ authServer, provider: { token } }: Servers): string | undefined {
  if (!isRequested(token)) return undefined;
  return /^https?:\/\//i.test(token.request.path) ? token.request.path : authServer;
}

function hostOf(url: string | undefined): string | undefined {
  return url === undefined ? undefined : URL.parse(url)?.hostname;
}

/** Whether the configuration names a token endpoint at the host and port of the API. */
function isAtUpstream(servers: Servers): boolean {
  const { token } = servers.provider;
  const url = tokenUrlOf(servers);
  if (url === undefined || !isRequested(token) || token.request.oauth2?.issuer !== undefined) return false;
  return URL.parse(url)?.host === URL.parse(servers.upstream)?.host;
}

function checkTls(path: Path, { tls }: RouteInput, servers: Servers, { report }: ConnectionContext): void {
  if (tls === undefined) return;
  if (servers.upstream.startsWith('http:')) {
    report.problem(
      [...path, 'tls'],
      'has no effect, because `upstream` begins with `http:`; use `https:`, or remove it',
    );
  } else if (tls.token_endpoint === false && needsRouteCertificate(servers)) {
    const text = 'must not be `false`: `client_auth` of `oauth2` uses the client certificate of the route';
    report.problem([...path, 'tls', 'token_endpoint'], text);
  } else if (tls.token_endpoint !== undefined && !isRequested(servers.provider.token)) {
    const text = `has no effect: \`${servers.provider.name}\` requests no token`;
    report.warn([...path, 'tls', 'token_endpoint'], text);
  }
}

/** Whether the token endpoint authenticates the client by the certificate under `tls` of the route. */
function needsRouteCertificate({ provider: { token }, tokenCertificate }: Servers): boolean {
  if (!isRequested(token) || token.request.oauth2 === undefined) return false;
  return usesCertificate(token.request.oauth2.clientAuth) && tokenCertificate === undefined;
}

/**
 * The TLS settings for the token endpoint. On another host than the API, those of the route apply only if the route says
 * so, or if the client certificate authenticates the client.
 */
function tokenTlsOf(tls: TlsIdentity | undefined, input: RouteInput, servers: Servers): TlsIdentity | undefined {
  const isSameHost = hostOf(tokenUrlOf(servers)) === hostOf(servers.upstream);
  const isShared = input.tls?.token_endpoint ?? (isSameHost || needsRouteCertificate(servers));
  const shared = tls === undefined || !isShared ? undefined : isSameHost ? tls : { ...tls, serverName: undefined };
  const { tokenCertificate } = servers;
  if (tokenCertificate === undefined) return shared;
  return { ...shared, pfx: undefined, passphrase: undefined, ...tokenCertificate };
}

/** The egress proxies of routes that do not set `egress_proxy`. */
export class DefaultEgress {
  readonly #context: ConnectionContext;
  /** From the top-level `egress_proxy`. Undefined: it is not set, so the environment decides. */
  readonly #written: { readonly proxy: EgressProxy | undefined } | undefined;
  readonly #byVariable = new Map<string, EgressProxy | undefined>();

  constructor(context: ConnectionContext) {
    this.#context = context;
    const { egress_proxy: written } = context.input;
    this.#written = written === undefined ? undefined : { proxy: readProxy(['egress_proxy'], written, context) };
  }

  /**
   * The rules for servers with these URLs. Problems of variables are reported only if one of these URLs needs them, and
   * once.
   */
  for(urls: readonly string[]): EgressRules | undefined {
    if (this.#written !== undefined) return rulesOf(this.#written.proxy);
    const noProxy =
      this.#variable('no_proxy')
        ?.value.split(/[\s,]+/)
        .filter((entry) => entry !== '') ?? [];
    const remote = urls.filter((url) => !isLoopbackName(hostOf(url) ?? ''));
    const proxyFor = (scheme: 'http' | 'https') =>
      remote.some((url) => url.startsWith(`${scheme}:`)) ? this.#fromEnvironment(scheme) : undefined;
    const [http, https] = [proxyFor('http'), proxyFor('https')];
    if (http === undefined && https === undefined) return undefined;
    return { http, https, noProxy: [...noProxy, ...LOOPBACK_HOSTS] };
  }

  #fromEnvironment(scheme: 'http' | 'https'): EgressProxy | undefined {
    const { name = '', value = '' } = this.#variable(`${scheme}_proxy`) ?? this.#variable('all_proxy') ?? {};
    if (name === '') return undefined;
    if (!this.#byVariable.has(name)) this.#byVariable.set(name, this.#parse(name, value));
    return this.#byVariable.get(name);
  }

  #parse(name: string, value: string): EgressProxy | undefined {
    const parsed = parseProxy(value, name);
    if ('value' in parsed) return parsed.value;
    const remedy = 'correct it, or set `egress_proxy` to the proxy, or to `false` for none';
    this.#context.report.problem([], `the environment variable \`${name}\` ${parsed.problem}; ${remedy}`);
    return undefined;
  }

  /** The lower-case name takes precedence, and an empty value counts as none, as in curl. */
  #variable(name: string): { readonly name: string; readonly value: string } | undefined {
    const { env } = this.#context;
    for (const each of [name, name.toUpperCase()]) {
      const value = Object.hasOwn(env, each) ? env[each]?.trim() : undefined;
      if (value !== undefined && value !== '') return { name: each, value };
    }
    return undefined;
  }
}

/** Entries of `noProxy` for this machine, which the proxies of the environment are never used for. */
const LOOPBACK_HOSTS: readonly string[] = ['localhost', '127.0.0.0/8', '::1'];

function readEgress(
  path: Path,
  { egress_proxy: written }: RouteInput,
  servers: Servers,
  defaultEgress: DefaultEgress,
  context: ConnectionContext,
): EgressRules | undefined {
  if (written !== undefined) return rulesOf(readProxy([...path, 'egress_proxy'], written, context));
  return defaultEgress.for([servers.upstream, tokenUrlOf(servers) ?? servers.upstream]);
}

function rulesOf(proxy: EgressProxy | undefined): EgressRules | undefined {
  return proxy && { http: proxy, https: proxy };
}

/** The proxy of an `egress_proxy`. Undefined for `false` and, with a problem, for an invalid one. */
function readProxy(at: Path, written: string | false, { report }: ConnectionContext): EgressProxy | undefined {
  if (written === false) return undefined;
  const parsed = parseProxy(written, 'egress_proxy');
  if ('value' in parsed) return parsed.value;
  report.problem(at, parsed.problem);
  return undefined;
}

const PERCENT_ENCODE = 'percent-encode special characters in the user name and the password (`%40` for `@`)';

/**
 * The proxy in a URL such as `http://user:password@proxy.internal:3128`. Without a scheme it is `http:`, as in curl. The
 * default ports are those of the scheme, as in Go and Python. Messages never contain the text, which may have a password.
 */
function parseProxy(text: string, source: string): Parsed<EgressProxy> {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase() ?? 'http';
  if (scheme.startsWith('socks')) return { problem: 'names a SOCKS proxy; Wakala can use only HTTP proxies' };
  if (scheme !== 'http' && scheme !== 'https') return { problem: 'must begin with `http://` or `https://`' };
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url === null || url.hostname === '' || url.port === '0') {
    return { problem: `must be a URL such as \`http://user:password@proxy.internal:3128\`; ${PERCENT_ENCODE}` };
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    return { problem: `must end after the port; ${PERCENT_ENCODE}` };
  }
  if (isLinkLocal(url.hostname)) return { problem: 'must not name a link-local address or a metadata service' };
  const isTls = scheme === 'https';
  const host = hostWithoutBrackets(url.hostname);
  const port = Number(url.port || (isTls ? 443 : 80));
  if (url.username === '' && url.password === '') return { value: { isTls, host, port, source } };
  const [user, password] = [percentDecoded(url.username), percentDecoded(url.password)];
  if (user === undefined || password === undefined)
    return { problem: `has a \`%\` that encodes nothing; ${PERCENT_ENCODE}` };
  // RFC 7617 2: the first colon ends the user name.
  if (user.includes(':')) return { problem: 'has a `:` in its user name, which HTTP Basic does not allow' };
  const authorization = new Secret(`Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`);
  return { value: { isTls, host, port, authorization, source } };
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

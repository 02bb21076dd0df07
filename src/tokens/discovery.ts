import type { Clock } from '../clock.ts';
import { CERTIFICATE_PROBLEMS, describeContentProblem } from '../errors.ts';
import { isLinkLocalAddress, isLoopbackName } from '../http/ip-address.ts';
import { valueAt } from '../json.ts';
import { type ClientAuth, usesCertificate } from '../providers/provider.ts';
import type { TokenRequest } from './token-request.ts';
import {
  certificateProblem,
  parseJsonBody,
  redirectOf,
  retryAfterS,
  type TokenResponse,
  tokenUnavailable,
} from './token-response.ts';

/** An issuer has one token endpoint, and another one if it moves it. */
const MAX_ENDPOINTS = 1000;

/** Every token endpoint that the metadata of an issuer has named since this process started. */
export class DiscoveredEndpoints {
  readonly #urls = new Set<string>();
  #version = 0;

  /** Changes with every URL that is added. */
  get version(): number {
    return this.#version;
  }

  get urls(): Iterable<string> {
    return this.#urls;
  }

  add(url: string): void {
    if (this.#urls.has(url)) return;
    const [oldest] = this.#urls;
    if (this.#urls.size === MAX_ENDPOINTS && oldest !== undefined) this.#urls.delete(oldest);
    this.#urls.add(url);
    this.#version += 1;
  }
}

/** Metadata is requested again after this time. */
const METADATA_TTL_MS = 3_600_000;

/** If that fails, the known endpoint stays in use for this time. */
const RETRY_INTERVAL_MS = 60_000;

/** @throws ProxyError `token_unavailable` if there is no response */
type SendRequest = (request: TokenRequest) => Promise<TokenResponse>;

/** What the metadata of an issuer says about token endpoints. */
export interface IssuerMetadata {
  /** Where to request tokens. */
  readonly tokenEndpoint: string;
  /** Every token endpoint in the document, also those for other ways of client authentication. */
  readonly allEndpoints: readonly string[];
}

/** Finds the token endpoint of an issuer in its metadata (RFC 8414, OpenID Connect Discovery), and remembers it. */
export class Discovery {
  readonly #issuer: string;
  readonly #clientAuth: ClientAuth;
  readonly #clock: Clock;
  readonly #allowAddresses: readonly string[] | undefined;
  #known: (IssuerMetadata & { readonly expiresAtMs: number }) | undefined;

  /** @param allowAddresses link-local addresses that a token endpoint may have */
  constructor(issuer: string, clientAuth: ClientAuth, clock: Clock, allowAddresses?: readonly string[]) {
    this.#issuer = issuer;
    this.#clientAuth = clientAuth;
    this.#clock = clock;
    this.#allowAddresses = allowAddresses;
  }

  /**
   * Requests the metadata, at most once an hour. If that fails, the known metadata stays in use.
   * @throws ProxyError `token_unavailable` if there is no known metadata
   */
  async find(send: SendRequest): Promise<IssuerMetadata> {
    const known = this.#known;
    if (known !== undefined && this.#clock.now() < known.expiresAtMs) return known;
    try {
      const metadata = await this.#request(send);
      this.#known = { ...metadata, expiresAtMs: this.#clock.now() + METADATA_TTL_MS };
      return metadata;
    } catch (error) {
      if (known === undefined) throw error;
      this.#known = { ...known, expiresAtMs: this.#clock.now() + RETRY_INTERVAL_MS };
      return known;
    }
  }

  /** Forgets the metadata: the token endpoint is not where it says. */
  forget(): void {
    this.#known = undefined;
  }

  async #request(send: SendRequest): Promise<IssuerMetadata> {
    const { host } = new URL(this.#issuer);
    const problems: string[] = [];
    let firstRetryAfterS: number | undefined;
    let status = 0;
    for (const url of metadataUrls(this.#issuer)) {
      const response = await send({ method: 'GET', url, headers: HEADERS, body: undefined });
      status = response.status;
      const metadata = this.#readMetadata(response, url);
      if (typeof metadata !== 'string') return metadata;
      problems.push(`${new URL(url).pathname} ${metadata}`);
      firstRetryAfterS ??= retryAfterS(response, this.#clock.now());
    }
    const problem = problems.join('; ');
    throw tokenUnavailable(
      `the issuer ${host} names no usable token endpoint (${problem})`,
      { kind: 'no_token_endpoint', problem: problem.slice(0, 500), status, host },
      { retryAfterS: firstRetryAfterS },
    );
  }

  /** @returns the metadata, or what is wrong with the response */
  #readMetadata(response: TokenResponse, url: string): IssuerMetadata | string {
    const issuer = this.#issuer;
    const redirect = redirectOf(response, url, () => []);
    if (redirect !== undefined) return `redirects to ${redirect.location}`;
    if (response.status !== 200) {
      const problem = certificateProblem(response.body);
      return `responded with HTTP ${response.status}${problem === undefined ? '' : `: it ${CERTIFICATE_PROBLEMS[problem]}`}`;
    }
    if (response.bodyProblem !== undefined) return `has a body that ${describeContentProblem(response.bodyProblem)}`;
    const json = parseJsonBody(response);
    const actualIssuer = valueAt(json, 'issuer');
    if (typeof actualIssuer !== 'string') return 'is not metadata: it has no `issuer`';
    // RFC 8414 3.3: the two must be identical. Otherwise one issuer could pose as another.
    if (actualIssuer !== issuer) return issuerMismatch(actualIssuer, issuer);
    // RFC 8705 5: clients with a certificate may have to use another endpoint.
    const mtlsEndpoint = valueAt(json, 'mtls_endpoint_aliases.token_endpoint');
    const plainEndpoint = valueAt(json, 'token_endpoint');
    const tokenEndpoint = usesCertificate(this.#clientAuth) ? (mtlsEndpoint ?? plainEndpoint) : plainEndpoint;
    if (typeof tokenEndpoint !== 'string') return 'names no `token_endpoint`';
    const problem = endpointProblem(tokenEndpoint, issuer, this.#allowAddresses);
    if (problem !== undefined) return problem;
    const isUrl = (url: unknown): url is string => typeof url === 'string' && URL.canParse(url);
    return { tokenEndpoint, allEndpoints: [plainEndpoint, mtlsEndpoint].filter(isUrl) };
  }
}

const HEADERS = { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'wakala' };

/** Where an issuer's metadata may be, in the order of requests: RFC 8414 3.1, then OpenID Connect Discovery 4.1. */
export function metadataUrls(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  return [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}${path}/.well-known/openid-configuration`,
  ];
}

function issuerMismatch(actual: string, expected: string): string {
  const withoutSlash = (text: string) => text.replace(/\/$/, '');
  if (withoutSlash(actual) !== withoutSlash(expected)) return 'belongs to another issuer';
  return `belongs to another issuer: its \`issuer\` ${actual.endsWith('/') ? 'ends' : 'does not end'} with \`/\``;
}

function endpointProblem(
  endpoint: string,
  issuer: string,
  allowAddresses: readonly string[] | undefined,
): string | undefined {
  const url = URL.parse(endpoint);
  if (url === null || !/^https?:$/.test(url.protocol) || url.hash !== '' || url.username !== '') {
    return 'names a `token_endpoint` that is not a plain URL';
  }
  if (isLinkLocalAddress(url.hostname, allowAddresses)) {
    return 'names a `token_endpoint` at a link-local or cloud metadata address';
  }
  const isLocal = isLoopbackName(url.hostname) && isLoopbackName(new URL(issuer).hostname);
  return url.protocol === 'https:' || isLocal ? undefined : 'names a `token_endpoint` without TLS';
}

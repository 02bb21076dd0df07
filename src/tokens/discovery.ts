import type { Clock } from '../clock.ts';
import { isLinkLocalAddress, isLoopbackName } from '../http/ip-address.ts';
import { valueAt } from '../json.ts';
import type { ClientAuth } from '../providers/provider.ts';
import type { TokenRequest } from './token-request.ts';
import { parseJsonBody, retryAfterS, type TokenResponse, tokenUnavailable } from './token-response.ts';

/** So many are remembered: an issuer has one, and another one after it moved. */
const MAX = 1000;

/** Every token endpoint that an issuer's metadata named since this process started. */
export class FoundEndpoints {
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
    if (this.#urls.size === MAX && oldest !== undefined) this.#urls.delete(oldest);
    this.#urls.add(url);
    this.#version += 1;
  }
}

/** Metadata is asked for anew after this long. */
const KEPT_MS = 3_600_000;

/** What was found before is used for as long, where metadata cannot be had. */
const KEPT_AFTER_FAILURE_MS = 60_000;

/** Sends one request. @throws ProxyError `token_unavailable` if there is no answer */
export type Send = (request: TokenRequest) => Promise<TokenResponse>;

/** What a metadata document says: where tokens are asked for, or in words why that cannot be used. */
type Reading = Found | { readonly fault: string };

export interface Found {
  readonly endpoint: string;
  /** Every token endpoint in the document, that for other ways to authenticate among them. */
  readonly named: readonly string[];
}

/** Finds out from an issuer's metadata where its token endpoint is, and remembers it. */
export class Discovery {
  readonly #issuer: string;
  readonly #clientAuth: ClientAuth;
  readonly #clock: Clock;
  #found: (Found & { readonly untilMs: number }) | undefined;

  constructor(issuer: string, clientAuth: ClientAuth, clock: Clock) {
    this.#issuer = issuer;
    this.#clientAuth = clientAuth;
    this.#clock = clock;
  }

  /**
   * The last that was found serves on while the metadata cannot be had.
   * @throws ProxyError `token_unavailable` if there was never metadata that can be used
   */
  async find(send: Send): Promise<Found> {
    const known = this.#found;
    if (known !== undefined && this.#clock.now() < known.untilMs) return known;
    try {
      const found = await this.#lookUp(send);
      this.#found = { ...found, untilMs: this.#clock.now() + KEPT_MS };
      return found;
    } catch (error) {
      if (known === undefined) throw error;
      this.#found = { ...known, untilMs: this.#clock.now() + KEPT_AFTER_FAILURE_MS };
      return known;
    }
  }

  async #lookUp(send: Send): Promise<Found> {
    const faults: string[] = [];
    let waitS: number | undefined;
    let status = 0;
    for (const url of metadataUrls(this.#issuer)) {
      const answer = await send({ method: 'GET', url, headers: HEADERS, body: undefined });
      status = answer.status;
      const reading = read(answer, this.#issuer, this.#clientAuth);
      if ('endpoint' in reading) return reading;
      faults.push(`${new URL(url).pathname} ${reading.fault}`);
      waitS ??= retryAfterS(answer, this.#clock.now());
    }
    const problem = faults.join('; ');
    throw tokenUnavailable(
      `the issuer names no usable token endpoint (${problem})`,
      { kind: 'no_token_endpoint', problem: problem.slice(0, 200), status, host: new URL(this.#issuer).host },
      { retryAfterS: waitS },
    );
  }

  /** The endpoint was not there: before the next question it is looked up. */
  forget(): void {
    this.#found = undefined;
  }
}

const HEADERS = { accept: 'application/json', 'user-agent': 'wakala' };

/** Where an issuer's metadata may be, in the order they are asked: RFC 8414 3.1, then OpenID Connect Discovery 4.1. */
export function metadataUrls(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  return [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}${path}/.well-known/openid-configuration`,
  ];
}

function read(answer: TokenResponse, issuer: string, clientAuth: ClientAuth): Reading {
  if (answer.status !== 200) return { fault: `responded with HTTP ${answer.status}` };
  const metadata = parseJsonBody(answer);
  const said = valueAt(metadata, 'issuer');
  if (typeof said !== 'string') return { fault: 'is no metadata: it has no `issuer`' };
  // RFC 8414 3.3: identical, or whoever answers there could pass for any issuer.
  if (said !== issuer) return { fault: misnamed(said, issuer) };
  // RFC 8705 5: where certificates are asked for may be another place.
  const alias = valueAt(metadata, 'mtls_endpoint_aliases.token_endpoint');
  const plain = valueAt(metadata, 'token_endpoint');
  const endpoint = clientAuth === 'tls_client_auth' ? (alias ?? plain) : plain;
  if (typeof endpoint !== 'string') return { fault: 'names no `token_endpoint`' };
  const fault = endpointFault(endpoint, issuer);
  if (fault !== undefined) return { fault };
  return { endpoint, named: [plain, alias].filter((url) => typeof url === 'string' && URL.canParse(url)) as string[] };
}

function misnamed(said: string, issuer: string): string {
  const bare = (text: string) => text.replace(/\/$/, '');
  const remedy = said.endsWith('/') ? 'has a `/` at its end there' : 'has no `/` at its end there';
  return bare(said) === bare(issuer) ? `is of another issuer: it ${remedy}` : 'is of another issuer';
}

function endpointFault(endpoint: string, issuer: string): string | undefined {
  const url = URL.parse(endpoint);
  if (url === null || !/^https?:$/.test(url.protocol) || url.hash !== '' || url.username !== '') {
    return 'names a `token_endpoint` that is no plain URL';
  }
  if (isLinkLocalAddress(url.hostname)) return 'names a `token_endpoint` at a link-local or metadata address';
  const within = isLoopbackName(url.hostname) && isLoopbackName(new URL(issuer).hostname);
  return url.protocol === 'https:' || within ? undefined : 'names a `token_endpoint` without TLS';
}

import type { Clock } from '../clock.ts';
import { isLinkLocalAddress } from '../link-local.ts';
import { isLoopbackName } from '../loopback.ts';
import { valueAt } from '../json.ts';
import type { ClientAuth } from '../providers/provider.ts';
import { jsonIn, retryAfterS, type TokenAnswer, unavailable } from './answer.ts';
import type { TokenRequest } from './request.ts';

/** Metadata is asked for anew after this long. */
const KEPT_MS = 3_600_000;

/** What was found before is used for as long, where metadata cannot be had. */
const KEPT_AFTER_FAILURE_MS = 60_000;

/** Sends one request. @throws ProxyError `token_unavailable` if there is no answer */
export type Send = (request: TokenRequest) => Promise<TokenAnswer>;

/** What a metadata document says: where tokens are asked for, or in words why that cannot be used. */
type Reading = { readonly endpoint: string } | { readonly fault: string };

/** Finds out from an issuer's metadata where its token endpoint is, and remembers it. */
export class Discovery {
  readonly #issuer: string;
  readonly #clientAuth: ClientAuth;
  readonly #clock: Clock;
  #found: { readonly endpoint: string; readonly untilMs: number } | undefined;

  constructor(issuer: string, clientAuth: ClientAuth, clock: Clock) {
    this.#issuer = issuer;
    this.#clientAuth = clientAuth;
    this.#clock = clock;
  }

  /**
   * The last that was found serves on while the metadata cannot be had.
   * @throws ProxyError `token_unavailable` if there was never metadata that can be used
   */
  async endpoint(send: Send): Promise<string> {
    const known = this.#found;
    if (known !== undefined && this.#clock.now() < known.untilMs) return known.endpoint;
    try {
      const endpoint = await this.#lookUp(send);
      this.#found = { endpoint, untilMs: this.#clock.now() + KEPT_MS };
      return endpoint;
    } catch (error) {
      if (known === undefined) throw error;
      this.#found = { ...known, untilMs: this.#clock.now() + KEPT_AFTER_FAILURE_MS };
      return known.endpoint;
    }
  }

  async #lookUp(send: Send): Promise<string> {
    const faults: string[] = [];
    let waitS: number | undefined;
    for (const url of metadataUrls(this.#issuer)) {
      const answer = await send({ method: 'GET', url, headers: HEADERS, body: undefined });
      const reading = read(answer, this.#issuer, this.#clientAuth);
      if ('endpoint' in reading) return reading.endpoint;
      faults.push(`${new URL(url).pathname} ${reading.fault}`);
      waitS ??= retryAfterS(answer, this.#clock.now());
    }
    throw unavailable(`its issuer does not say where it is (${faults.join('; ')})`, undefined, waitS);
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

function read(answer: TokenAnswer, issuer: string, clientAuth: ClientAuth): Reading {
  if (answer.status !== 200) return { fault: `answered ${answer.status}` };
  const metadata = jsonIn(answer);
  const said = valueAt(metadata, 'issuer');
  if (typeof said !== 'string') return { fault: 'is no metadata: it has no `issuer`' };
  // RFC 8414 3.3: identical, or whoever answers there could pass for any issuer.
  if (said !== issuer) return { fault: misnamed(said, issuer) };
  // RFC 8705 5: where certificates are asked for may be another place.
  const alias =
    clientAuth === 'tls_client_auth' ? valueAt(metadata, 'mtls_endpoint_aliases.token_endpoint') : undefined;
  const endpoint = alias ?? valueAt(metadata, 'token_endpoint');
  if (typeof endpoint !== 'string') return { fault: 'names no `token_endpoint`' };
  const fault = endpointFault(endpoint, issuer);
  return fault === undefined ? { endpoint } : { fault };
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

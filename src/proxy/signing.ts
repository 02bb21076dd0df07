import type { Clock } from '../clock.ts';
import type { RouteConfig } from '../config/config.ts';
import type { ClientRequest } from '../http/client/http-exchange.ts';
import { originOf } from '../http/client/origin.ts';
import { DEFAULT_TOKEN_HEADER, hasToken, type TokenHeader } from '../providers/provider.ts';
import type { ByteString } from '../signing/rule-template.ts';
import { signScopeOf } from '../signing/scope.ts';
import { type CallSigner, Signer } from '../signing/signer.ts';
import { HeaderValue } from '../signing/value-list.ts';
import type { Token } from '../tokens/token.ts';

/** A request with everything that was computed for it. */
export interface SignedRequest {
  readonly request: ClientRequest;
  /** The computed values that must not be shown. */
  readonly secrets: readonly ByteString[];
}

/** The signing of one request. Both attempts use the same object. */
export interface CallSigning {
  /** Whether the body has to be held whole. */
  readonly needsBody: boolean;
  /**
   * @param request without the header that carries the token, if its value is computed
   * @throws ProxyError `signature_impossible`
   */
  sign(request: ClientRequest, token: Token): Promise<SignedRequest>;
}

/** What a route computes on API calls: its rules under `sign`, and the header value of the token. */
export class RouteSigning {
  readonly #signer: Signer | undefined;
  readonly #headerValue: HeaderValue | undefined;
  readonly #tokenHeader: TokenHeader;
  readonly #hasToken: boolean;
  readonly #basePath: string;
  readonly #host: string;
  readonly #clock: Clock;

  private constructor(config: RouteConfig, basePath: string, clock: Clock) {
    const { provider, upstream, hostHeader } = config;
    const { sign = [], tokenHeader = DEFAULT_TOKEN_HEADER } = provider;
    const scope = signScopeOf(provider, config.credentials);
    // The configuration was checked for problems.
    this.#signer = sign.length === 0 ? undefined : new Signer(sign, scope);
    const { value } = tokenHeader;
    this.#headerValue = value && new HeaderValue(value, { ...scope, hasRequest: false }, () => undefined);
    this.#tokenHeader = tokenHeader;
    this.#hasToken = hasToken(provider.token);
    this.#basePath = basePath;
    this.#host = hostHeader ?? originOf(upstream).hostHeader;
    this.#clock = clock;
  }

  /** Undefined if the route computes nothing. @param basePath path of the API base URL, without a trailing slash */
  static of(config: RouteConfig, basePath: string, clock: Clock): RouteSigning | undefined {
    const { sign = [], tokenHeader } = config.provider;
    if (sign.length === 0 && tokenHeader?.value === undefined) return undefined;
    return new RouteSigning(config, basePath, clock);
  }

  /** Undefined if nothing is computed for this call. @param path at the upstream, with the base path */
  for(method: string, path: string): CallSigning | undefined {
    const callPath = path.slice(this.#basePath.length);
    const signer = this.#signer?.for(method, callPath);
    if (signer === undefined && this.#headerValue === undefined) return undefined;
    return {
      needsBody: signer?.needsBody === true,
      sign: (request, token) => this.#sign(request, token, path, signer),
    };
  }

  async #sign(
    request: ClientRequest,
    token: Token,
    path: string,
    signer: CallSigner | undefined,
  ): Promise<SignedRequest> {
    const { method, target, body } = request;
    const accessToken = token.accessToken.reveal();
    const nowMs = this.#clock.now() + (token.clockSkewMs ?? 0);
    let headers = request.headers;
    const secrets: ByteString[] = [];
    if (this.#headerValue !== undefined) {
      const { name, scheme } = this.#tokenHeader;
      const value = await this.#headerValue.compute(accessToken, nowMs);
      headers = [...headers, name, scheme === '' ? value : `${scheme} ${value}`];
      secrets.push(value);
    }
    if (signer === undefined) return { request: { ...request, headers }, secrets };
    const signed = await signer.sign({
      method,
      host: this.#host,
      basePath: this.#basePath,
      path: path.slice(this.#basePath.length),
      query: target.slice(path.length),
      headers,
      body: body.kind === 'bytes' ? body.bytes : undefined,
      accessToken: this.#hasToken ? accessToken : undefined,
      nowMs,
    });
    return {
      request: {
        method,
        target: path + signed.query,
        headers: signed.headers,
        // A body that no rule needs may be a stream.
        body: signer.needsBody && signed.body !== undefined ? { kind: 'bytes', bytes: signed.body } : body,
      },
      secrets: [...secrets, ...signed.secrets],
    };
  }
}

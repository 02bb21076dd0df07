import type { SignRule } from '../providers/sign-rule.ts';
import type { ByteString } from './template.ts';
import type { SignProblem, ValueScope } from './values.ts';

/** The signing of one route may depend on these too. */
export interface SignScope extends ValueScope {
  /** Lower-case names of the headers that carry the token or were issued with it. Rules can neither read nor set them. */
  readonly tokenHeaders: ReadonlySet<string>;
  /** Whether rules may set `Authorization`: only on a route with `token: none`. */
  readonly maySetAuthorization: boolean;
}

/** A request as it will go out, before it is signed. */
export interface UnsignedRequest {
  readonly method: string;
  /** The `Host` header. */
  readonly host: string;
  /** Path of the base URL of the API, without a trailing slash. */
  readonly basePath: string;
  /** Below `basePath`, as the client sent it. */
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
  /** Names and values in turn, without those that the HTTP client writes. */
  readonly headers: readonly string[];
  readonly body: Buffer | undefined;
  /** Undefined on a route with `token: none`. */
  readonly accessToken: string | undefined;
  /** Epoch milliseconds, by the provider's clock if it is known. */
  readonly nowMs: number;
}

export interface SignedRequest {
  readonly query: string;
  readonly headers: string[];
  readonly body: Buffer | undefined;
  /** The derived values that must not be shown. */
  readonly secrets: readonly ByteString[];
}

/** The rules of a route. */
export class Signer {
  constructor(_rules: readonly SignRule[], _scope: SignScope) {
    throw new Error('not written yet');
  }

  /** The rules for a call. Undefined if none applies. @param path below the base URL, as the client sent it */
  for(_method: string, _path: string): CallSigner | undefined {
    throw new Error('not written yet');
  }
}

/** The rules for one call. Both attempts use the same object, which keeps the values of `uuid` and `random`. */
export interface CallSigner {
  /** Whether the body is read or changed, so that it has to be held whole. */
  readonly needsBody: boolean;
  /**
   * Applies the rules, from top to bottom.
   * @throws ProxyError `signature_impossible`
   */
  sign(request: UnsignedRequest): Promise<SignedRequest>;
}

/** What is wrong with rules. Paths are below `sign`: `[0, 'values', 'password', 'text']`. */
export function signProblems(_rules: readonly SignRule[], _scope: SignScope): SignProblem[] {
  throw new Error('not written yet');
}

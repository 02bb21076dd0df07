/*
 * When a request is sent a second time. The only ground is the provider's own statement that the token is dead: a 401
 * says that the request was not applied (RFC 9110 15.5.2), and a provider's `deadToken` rules name its documented
 * equivalents. A proxy must not retry a request for any other reason (RFC 9110 9.2.2).
 *
 * Two parts: `DeadTokenRules` tells whether a response says so, and `decideReplay` tells what follows. The HTTP client
 * has its own, lower-level rule for safe requests on connections that broke (`Exchange.mayResend`).
 */

import type { RouteConfig } from '../config/config.ts';
import { type ContentProblem, ProxyError } from '../errors.ts';
import type { RequestBody } from '../http/client/http-exchange.ts';
import { ContentError, decodedText } from '../http/content-decoding.ts';
import type { HeaderList } from '../http/header-list.ts';
import { hasValues } from '../json.ts';
import type { ResponseRule } from '../providers/provider.ts';

/** What the status of a response says about the token. */
export type StatusClassification = 'dead' | 'alive' | 'depends_on_body';

/** Limit for a decompressed body. Bytes. */
const MAX_DECODED_BYTES = 64 * 1024;

const WARNING_INTERVAL_MS = 3_600_000;

/** The dead-token rules of a provider, indexed by status. */
export class DeadTokenRules {
  readonly #byStatus = new Map<number, ResponseRule[]>();
  /** Time of the last warning, by the problem of the body. Epoch milliseconds. */
  readonly #warnedAtMs = new Map<ContentProblem['kind'], number>();

  constructor(rules: readonly ResponseRule[]) {
    for (const rule of rules) {
      const sameStatus = this.#byStatus.get(rule.status);
      if (sameStatus === undefined) this.#byStatus.set(rule.status, [rule]);
      else sameStatus.push(rule);
    }
  }

  /**
   * Whether to log that a body could not be checked: at most once an hour for each kind of problem.
   * @param nowMs epoch milliseconds
   */
  shouldWarn(problem: ContentProblem['kind'], nowMs: number): boolean {
    const lastMs = this.#warnedAtMs.get(problem);
    if (lastMs !== undefined && Math.abs(nowMs - lastMs) < WARNING_INTERVAL_MS) return false;
    this.#warnedAtMs.set(problem, nowMs);
    return true;
  }

  classifyStatus(status: number): StatusClassification {
    const rules = this.#byStatus.get(status);
    if (rules === undefined) return 'alive';
    return rules.some((rule) => rule.body === undefined) ? 'dead' : 'depends_on_body';
  }

  /**
   * Whether the body says that the token is dead.
   * @param body complete, still encoded
   * @param headers those of the response
   * @returns a ContentProblem if the body cannot be decoded
   */
  inspectBody(status: number, body: Buffer, headers: Readonly<HeaderList>): boolean | ContentProblem {
    let json: unknown;
    try {
      json = JSON.parse(decodedText(body, headers, MAX_DECODED_BYTES));
    } catch (error) {
      return error instanceof ContentError ? error.problem : false;
    }
    return (this.#byStatus.get(status) ?? []).some((rule) => hasValues(json, rule.body ?? {}));
  }
}

/** Everything that the decision about a second attempt depends on. */
interface RefusedAttempt {
  /** 1 or 2. There is no third. */
  readonly attempt: number;
  readonly method: string;
  /** `replay` of the route: for all methods, for none, or for these. */
  readonly policy: RouteConfig['replay'];
  /** A WebSocket handshake is not replayed. */
  readonly isHandshake: boolean;
  /** A body above `replay_limit` was streamed and is no longer available. */
  readonly body: RequestBody['kind'];
  readonly isClientGone: boolean;
}

/**
 * Decides what follows after the provider refused the token of an attempt.
 * @returns `replay`: get another token and send the request again. `relay`: pass the refusal to the client.
 */
export function decideReplay(refused: RefusedAttempt): 'replay' | 'relay' {
  const { attempt, method, policy, isHandshake, body, isClientGone } = refused;
  if (attempt !== 1 || isHandshake || body === 'stream' || isClientGone) return 'relay';
  return policy === true || (policy !== false && policy.has(method)) ? 'replay' : 'relay';
}

/**
 * The error of a second attempt that was not sent, with the first attempt in its message. The outcome stays `not_sent`:
 * the provider refused the first attempt without applying it, so the client can safely send the request again. That is
 * the same ground on which Wakala made the second attempt.
 * @param refusedStatus of the response to the first attempt
 */
export function unsentReplay(error: ProxyError, refusedStatus: number): ProxyError {
  const first =
    `This was the second attempt: the provider refused the first one with status ${refusedStatus} because of its token ` +
    'and did not act on it.';
  const { code, message, reason, cause, outcome, retryAfterS } = error;
  return new ProxyError(code, `${message} ${first}`, { reason, cause, outcome, retryAfterS });
}

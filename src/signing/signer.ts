import { ProxyError } from '../errors.ts';
import type { SignRule } from '../providers/sign-rule.ts';
import { type CallPattern, exactPath, matchCall, type PathSegments, pathSegments } from './call-pattern.ts';
import { OutgoingRequest, type UnsignedRequest } from './outgoing-request.ts';
import { type CompiledRule, compileRules } from './rule.ts';
import type { ByteString } from './rule-template.ts';
import type { SignScope } from './scope.ts';

export interface SignedRequest {
  /** With its question mark, or empty. */
  readonly query: string;
  readonly headers: string[];
  readonly body: Buffer | undefined;
  /** The derived values that must not be shown. */
  readonly secrets: readonly ByteString[];
}

/** An entry of `calls` with its rule. */
interface Entry {
  readonly index: number;
  readonly rule: CompiledRule;
  readonly call: CallPattern;
}

/** A rule that applies to a call. */
export interface Match extends Entry {
  readonly segments: PathSegments;
}

/** The rules of a route. */
export class Signer {
  readonly #exact = new Map<string, Entry[]>();
  readonly #patterns: Entry[] = [];

  /** @throws TypeError if a rule has a problem: `signProblems` finds them first */
  constructor(rules: readonly SignRule[], scope: SignScope) {
    const compiled = compileRules(rules, scope, ({ path, text }) => {
      throw new TypeError(`${path.join('.')}: ${text}`);
    });
    for (const [index, rule] of compiled.entries()) {
      for (const call of rule.calls) this.#add({ index, rule, call });
    }
  }

  #add(entry: Entry): void {
    const path = exactPath(entry.call);
    if (path === undefined) {
      this.#patterns.push(entry);
      return;
    }
    const entries = this.#exact.get(path);
    if (entries === undefined) this.#exact.set(path, [entry]);
    else entries.push(entry);
  }

  /** The rules for a call. Undefined if none applies. @param path below the base URL, as the client sent it */
  for(method: string, path: string): CallSigner | undefined {
    const matches = this.matches(method, path);
    return matches.length === 0 ? undefined : new CallSigner(matches);
  }

  /**
   * The rules for a call, from top to bottom. Each is there once, with its first entry that matches. Paths are compared
   * as they were sent: a call in another spelling is not signed, so the provider refuses it.
   */
  matches(method: string, path: string): Match[] {
    const candidates = [...(this.#exact.get(path) ?? []), ...this.#patterns];
    if (candidates.length === 0) return [];
    const actual = pathSegments(path);
    const byRule = new Map<number, Match>();
    for (const entry of candidates) {
      const segments = byRule.has(entry.index) ? undefined : matchCall(entry.call, method, actual);
      if (segments !== undefined) byRule.set(entry.index, { ...entry, segments });
    }
    return [...byRule.values()].sort((a, b) => a.index - b.index);
  }
}

/** The rules for one call. Both attempts use the same object, which keeps the values of `uuid` and `random`. */
export class CallSigner {
  /** Whether the body is read or changed, so that it has to be held whole. */
  readonly needsBody: boolean;
  readonly #matches: readonly (Match & { readonly kept: Map<string, ByteString> })[];

  constructor(matches: readonly Match[]) {
    this.#matches = matches.map((match) => ({ ...match, kept: new Map() }));
    this.needsBody = matches.some(({ rule }) => rule.needsBody);
  }

  /**
   * Applies the rules, from top to bottom.
   * @throws ProxyError `signature_impossible`
   */
  async sign(unsigned: UnsignedRequest): Promise<SignedRequest> {
    const request = new OutgoingRequest(unsigned);
    const secrets: ByteString[] = [];
    for (const { rule, call, segments, kept } of this.#matches) {
      try {
        secrets.push(...(await rule.apply(request, segments, kept)));
      } catch (error) {
        throw withCall(error, call);
      }
    }
    const { query, headers, body } = request;
    return { query, headers, body, secrets };
  }
}

/** Names the rule at fault. */
export function withCall(error: unknown, { text }: CallPattern): unknown {
  if (!(error instanceof ProxyError) || error.code !== 'signature_impossible') return error;
  return new ProxyError(error.code, `${error.message} The signing rule for \`${text}\` needs it. Nothing was sent.`);
}

import type { SignRule } from '../providers/sign-rule.ts';
import type { SignScope, UnsignedRequest } from './signer.ts';

/** What a rule does on one call, with secrets as `[name]` and derived values as `[function]`, never a signature. */
export interface ExplainedRule {
  /** Index in the list. */
  readonly index: number;
  /** The entry of `calls` that matches. */
  readonly call: string;
  readonly values: readonly { readonly name: string; readonly function: string; readonly text: string }[];
  readonly targets: readonly { readonly target: string; readonly name: string; readonly text: string }[];
  /** Set if the rule leaves the request alone, because the app sent all members. */
  readonly skipped?: string;
}

/** @throws ProxyError `signature_impossible` */
export function explain(_rules: readonly SignRule[], _scope: SignScope, _request: UnsignedRequest): ExplainedRule[] {
  throw new Error('not written yet');
}

import { ProxyError } from '../errors.ts';
import type { SignRule } from '../providers/sign-rule.ts';
import type { CompiledFunction } from './functions.ts';
import { OutgoingRequest, type UnsignedRequest } from './outgoing-request.ts';
import { type ByteString, fillTemplate, fromBytes, type Lookup } from './rule-template.ts';
import type { SignScope } from './scope.ts';
import { type Match, Signer, withCall } from './signer.ts';

/** What a rule does on one call, with secrets as `[name]` and results of functions as `[function]`, never a signature. */
export interface ExplainedRule {
  /** Index in the list. */
  readonly index: number;
  /** The entry of `calls` that matches. */
  readonly call: string;
  /** `text` is what goes into the function. */
  readonly values: readonly { readonly name: string; readonly function: string; readonly text: string }[];
  readonly targets: readonly { readonly target: string; readonly name: string; readonly text: string }[];
  /** Set if the rule leaves the request alone, because the app sent all members. */
  readonly skipped?: string;
}

/** What the rules of a route do on one call. */
export interface ExplainedCall {
  /** If the call cannot be signed: the rules before the rule that failed. */
  readonly rules: readonly ExplainedRule[];
  /** `signature_impossible` */
  readonly refused?: ProxyError;
}

/** What the rules do on one call. No key is used. */
export function explain(rules: readonly SignRule[], scope: SignScope, unsigned: UnsignedRequest): ExplainedCall {
  const request = new OutgoingRequest(unsigned);
  const explained: ExplainedRule[] = [];
  for (const match of new Signer(rules, scope).matches(unsigned.method, unsigned.path)) {
    try {
      explained.push(explainRule(match, scope, request));
    } catch (error) {
      const refused = withCall(error, match.call);
      if (!(refused instanceof ProxyError)) throw refused;
      return { rules: explained, refused };
    }
  }
  return { rules: explained };
}

/** Applies the rule to the request with what is shown instead of secrets, so that the next rule sees that. */
function explainRule(
  { rule, index, call, segments }: Match,
  scope: SignScope,
  request: OutgoingRequest,
): ExplainedRule {
  const at = { index, call: call.text };
  const members = rule.targetsFor(request);
  if (members === undefined) return { ...at, values: [], targets: [], skipped: 'the app sent all members itself' };
  const results = new Map<string, ByteString>();
  const lookup: Lookup = (placeholder) => {
    if (placeholder.kind !== 'name') return request.text(placeholder, segments);
    const { name } = placeholder;
    return (
      results.get(name) ?? (scope.publicCredentials.has(name) ? rule.values.credential(name) : undefined) ?? `[${name}]`
    );
  };
  const values = [...rule.values.functions].map(([name, compiled]) => {
    const text = compiled.input({ lookup, fieldsOf: (list) => request.fieldsOf(list), nowMs: request.nowMs });
    results.set(name, shownResult(compiled, text));
    return { name, function: compiled.name, text: fromBytes(text) };
  });
  const targets = [
    ...members.map((target) => [target, rule.members.get(target) ?? []] as const),
    ['headers', rule.headers] as const,
  ].flatMap(([target, templates]) =>
    [...templates].map(([name, template]) => ({ target, name, text: fromBytes(fillTemplate(template, lookup)) })),
  );
  rule.put(request, members, lookup);
  return { ...at, values, targets };
}

function shownResult({ name, isEncoded }: CompiledFunction, text: ByteString): ByteString {
  const isText = name === 'text' || name === 'fields' || name === 'now';
  return isText && !isEncoded ? text : `[${name}]`;
}

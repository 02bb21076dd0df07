import { compactHeaderName } from '../http/header-list.ts';
import type { SignRule } from '../providers/sign-rule.ts';
import { overlap } from './call-pattern.ts';
import { BODY_DIGEST_HEADERS } from './outgoing-request.ts';
import { type CompiledRule, compileRules, isOfBody, isOfQuery } from './rule.ts';
import { jsonPath, type RequestRead, toBytes } from './rule-template.ts';
import type { SignProblem, SignScope } from './scope.ts';

/**
 * What is wrong with rules. Paths are below `sign`: `[0, 'values', 'password', 'text']`.
 * @param nameOf how messages call the rule with this index
 */
export function signProblems(
  rules: readonly SignRule[],
  scope: SignScope,
  nameOf = (index: number) => `\`sign.${index}\``,
): SignProblem[] {
  const problems: SignProblem[] = [];
  const compiled = compileRules(rules, scope, (problem) => problems.push(problem));
  return [...problems, ...conflicts(compiled, nameOf)];
}

/** A place where a rule writes: the target, and a name in it. */
interface Write {
  readonly target: 'json' | 'form' | 'query' | 'headers';
  readonly name: string;
}

/**
 * Rules for the same call of which a later one changes what an earlier one read or wrote: the provider would check a
 * signature against something else.
 * @param nameOf how messages call the rule with this index
 */
function conflicts(rules: readonly CompiledRule[], nameOf: (index: number) => string): SignProblem[] {
  return rules.flatMap((later, i) =>
    rules.slice(0, i).flatMap((earlier, j) => {
      const isSameCall = earlier.calls.some((a) => later.calls.some((b) => overlap(a, b)));
      return isSameCall ? conflictsOf(earlier, later, [i], nameOf(j)) : [];
    }),
  );
}

function conflictsOf(
  earlier: CompiledRule,
  later: CompiledRule,
  path: SignProblem['path'],
  earlierName: string,
): SignProblem[] {
  const written = writesOf(earlier);
  return writesOf(later).flatMap((write) => {
    const { target, name } = write;
    const isRead = earlier.reads.some((read) => changes(write, read));
    const isWritten = written.some((other) => other.target === target && sameName(target, other.name, name));
    if (!isRead && !isWritten) return [];
    const did = isRead ? 'reads it' : 'sets it';
    const text = `changes the request after ${earlierName}, which ${did} and applies to the same calls; change the order or the calls`;
    return [{ path: [...path, target, name], text }];
  });
}

function writesOf({ members, headers }: CompiledRule): Write[] {
  const ofMembers = [...members].flatMap(([target, templates]) =>
    [...templates.keys()].map((name) => ({ target, name })),
  );
  return [...ofMembers, ...[...headers.keys()].map((name) => ({ target: 'headers', name }) as const)];
}

function sameName(target: Write['target'], a: string, b: string): boolean {
  return target === 'headers' ? compactHeaderName(a) === compactHeaderName(b) : a === b;
}

function changes({ target, name }: Write, read: RequestRead): boolean {
  if (read.kind === 'fields') {
    const { list, except } = read;
    if (list.kind !== target) return false;
    const [member] = list.kind === 'json' ? list.path : [];
    return member === undefined ? !except.has(toBytes(name)) : member === name;
  }
  const field = read.kind === 'field' ? read : undefined;
  switch (target) {
    case 'json':
    case 'form':
      if (field?.source === 'header') return BODY_DIGEST_HEADERS.has(compactHeaderName(field.name));
      if (field === undefined) return isOfBody(read);
      return field.source === target && (target === 'json' ? jsonPath(field.name)[0] : field.name) === name;
    case 'query':
      return isOfQuery(read) && (field === undefined || field.name === name);
    case 'headers':
      return field?.source === 'header' && sameName(target, field.name, name);
  }
}

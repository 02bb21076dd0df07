import { compactHeaderName, normalizeHeaderName, NOT_CONFIGURABLE_HEADERS } from '../http/header-list.ts';
import type { SignRule } from '../providers/sign-rule.ts';
import { type CallPattern, parseCall, type PathSegments } from './call-pattern.ts';
import type { OutgoingRequest } from './outgoing-request.ts';
import { isHeaderValue, MEMBER_TARGETS, type MemberTarget } from './outgoing-request.ts';
import {
  type ByteString,
  fillTemplate,
  type Lookup,
  type RequestRead,
  type Template,
  toBytes,
} from './rule-template.ts';
import { type OnProblem, type RequestFacts, Scope, type SignProblem, type SignScope } from './scope.ts';
import { ValueList } from './value-list.ts';

/** Parts of a request that hold a secret after the rules so far: `body`, `query`, or the compact name of a header. */
export type SecretParts = Set<string>;

/** A rule with templates parsed and keys read. */
export class CompiledRule {
  readonly calls: readonly CallPattern[];
  readonly values: ValueList;
  /** The parts of a request that it reads. */
  readonly reads: readonly RequestRead[];
  readonly members: ReadonlyMap<MemberTarget, ReadonlyMap<string, Template>>;
  readonly headers: ReadonlyMap<string, Template>;

  /** @param secretParts those after the rules above; this rule adds its own */
  constructor(
    rule: SignRule,
    path: SignProblem['path'],
    scope: SignScope,
    secretParts: SecretParts,
    onProblem: OnProblem,
  ) {
    const problem = (at: SignProblem['path'], text: string) => onProblem({ path: [...path, ...at], text });
    this.calls = rule.calls.flatMap((text, i) => {
      const call = parseCall(text);
      if ('problem' in call) problem(['calls', i], call.problem);
      return 'problem' in call ? [] : call;
    });
    if (rule.calls.length === 0) problem(['calls'], 'is empty; name the calls that the rule is for');
    const { values = {} } = rule;
    const names = new Scope(scope, Object.keys(values), onProblem, requestFacts(this.calls, scope, secretParts));
    this.values = new ValueList(values, names, [...path, 'values']);
    const reads: RequestRead[] = [...this.values.functions.values()].flatMap((compiled) => compiled.reads);
    const secretTargets: string[] = [];
    const templates = (target: MemberTarget | 'headers', nameOf: (name: string) => string) => {
      const compiled = Object.entries(rule[target] ?? {}).flatMap(([name, text]) => {
        const checked = names.template([...path, target, name], text);
        if (checked === undefined) return [];
        reads.push(...checked.reads);
        if (checked.isSecret) secretTargets.push(nameOf(name));
        return [[name, checked.template] as const];
      });
      return new Map(compiled);
    };
    const members = MEMBER_TARGETS.map(
      (target) => [target, templates(target, () => (target === 'query' ? target : 'body'))] as const,
    );
    this.members = new Map(members.filter(([, { size }]) => size > 0));
    this.headers = templates('headers', compactHeaderName);
    this.reads = reads;
    for (const part of secretTargets) secretParts.add(part);
    this.#checkTargets(rule, scope, problem);
  }

  get needsBody(): boolean {
    return this.members.has('json') || this.members.has('form') || this.reads.some((read) => isOfBody(read));
  }

  /** Whether the rule refuses calls without a body. */
  get refusesEmptyBody(): boolean {
    return this.members.has('json') || this.members.has('form') || this.reads.some((read) => isRequiredOfBody(read));
  }

  /**
   * Applies the rule to a request.
   * @param kept values of an earlier attempt; new ones are added
   * @returns the computed values that must not be shown
   * @throws ProxyError `signature_impossible`
   */
  async apply(
    request: OutgoingRequest,
    segments: PathSegments,
    kept: Map<string, ByteString>,
  ): Promise<readonly ByteString[]> {
    const targets = this.targetsFor(request);
    if (targets === undefined) return [];
    const lookup = requestLookup(request, segments);
    const fieldsOf = request.fieldsOf.bind(request);
    const { byName, secrets } = await this.values.compute({ lookup, fieldsOf, nowMs: request.nowMs }, kept);
    this.put(request, targets, this.values.lookup(byName, lookup));
    return secrets;
  }

  /**
   * The targets that the app did not fill in itself. The members of a target belong together: if the app sent all, and
   * none is empty, they stay. Undefined if nothing is left, so that the rule does not apply.
   * @throws ProxyError `signature_impossible`
   */
  targetsFor(request: OutgoingRequest): readonly MemberTarget[] | undefined {
    const targets = [...this.members].flatMap(([target, templates]) =>
      request.hasAll(target, [...templates.keys()]) ? [] : target,
    );
    return targets.length === 0 && this.headers.size === 0 ? undefined : targets;
  }

  /** @throws ProxyError `signature_impossible` */
  put(request: OutgoingRequest, targets: readonly MemberTarget[], lookup: Lookup): void {
    for (const target of targets) {
      const templates = this.members.get(target) ?? new Map<string, Template>();
      request.setMembers(
        target,
        new Map([...templates].map(([name, template]) => [name, fillTemplate(template, lookup)])),
      );
    }
    for (const [name, template] of this.headers) request.setHeader(name, fillTemplate(template, lookup));
  }

  #checkTargets(
    { json, form, query, headers = {} }: SignRule,
    scope: SignScope,
    problem: (at: SignProblem['path'], text: string) => void,
  ): void {
    if ([json, form, query, headers].every((target) => Object.keys(target ?? {}).length === 0)) {
      problem([], 'puts its values nowhere; add `headers`, `json`, `form` or `query`');
    }
    if (json !== undefined && form !== undefined)
      problem(['form'], 'a body is JSON or a form; remove `json` or `form`');
    const names = Object.keys(headers);
    for (const [i, name] of names.entries()) {
      const error = headerTargetError(name, scope);
      if (error !== undefined) problem(['headers', name], error);
      const isTwice = names.slice(0, i).some((other) => compactHeaderName(other) === compactHeaderName(name));
      if (isTwice) problem(['headers', name], 'is the same header as another; remove one');
      const literals = (this.headers.get(name) ?? []).filter((piece) => typeof piece === 'string');
      if (!literals.every(isHeaderValue))
        problem(['headers', name], 'has a line break or a character that no header can have');
    }
  }
}

/** Compiles the rules of a route, in their order. Each problem is reported. */
export function compileRules(rules: readonly SignRule[], scope: SignScope, onProblem: OnProblem): CompiledRule[] {
  const secretParts: SecretParts = new Set();
  return rules.map((rule, i) => new CompiledRule(rule, [i], scope, secretParts, onProblem));
}

/** The texts of a request, and its token. */
function requestLookup(request: OutgoingRequest, segments: PathSegments): Lookup {
  return (placeholder) => {
    if (placeholder.kind !== 'name') return request.text(placeholder, segments);
    return placeholder.name === 'access_token' && request.accessToken !== undefined
      ? toBytes(request.accessToken)
      : undefined;
  };
}

export function isOfBody(read: RequestRead): boolean {
  switch (read.kind) {
    case 'request':
      return read.part === 'body' || read.part === 'body_minified';
    case 'field':
      return read.source === 'json' || read.source === 'form';
    case 'fields':
      return read.list.kind !== 'query';
  }
}

/** Whether it is read from the fields of a body, which has to be there. */
function isRequiredOfBody(read: RequestRead): boolean {
  return read.kind !== 'request' && isOfBody(read) && !(read.kind === 'field' && read.optional);
}

export function isOfQuery(read: RequestRead): boolean {
  switch (read.kind) {
    case 'request':
      return read.part === 'query' || read.part === 'target';
    case 'field':
      return read.source === 'query';
    case 'fields':
      return read.list.kind === 'query';
  }
}

function requestFacts(calls: readonly CallPattern[], scope: SignScope, secretParts: ReadonlySet<string>): RequestFacts {
  return {
    isSecret(read) {
      if (isOfBody(read)) return secretParts.has('body');
      if (isOfQuery(read)) return secretParts.has('query') || scope.hasTokenInQuery === true;
      return read.kind === 'field' && read.source === 'header' && secretParts.has(compactHeaderName(read.name));
    },
    problem(placeholder) {
      if (placeholder.kind !== 'field') return undefined;
      const { source, name } = placeholder;
      if (source === 'header') {
        const error = headerReadError(name, scope);
        return error === undefined ? undefined : { text: `\`{header:${name}}\` ${error}` };
      }
      if (source !== 'path') return undefined;
      const names = calls.map(({ segments }) =>
        segments.flatMap((segment) => (typeof segment === 'string' ? [] : segment.name)),
      );
      if (names.every((each) => each.includes(name))) return undefined;
      return {
        text: `\`{path:${name}}\` must be a segment \`{${name}}\` of every entry of \`calls\``,
        unknown: { name, known: [...new Set(names.flat())] },
      };
    },
  };
}

/** Completes the name of a header. */
function headerTargetError(name: string, scope: SignScope): string | undefined {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return 'is not a header name';
  const compact = compactHeaderName(name);
  if (name.toLowerCase() === 'authorization' && scope.maySetAuthorization) return undefined;
  if (compact === 'via') return 'cannot be set by a rule: Wakala writes it';
  if (compact === 'authorization') return 'carries the token; rules can set it only on a route with `token: none`';
  return commonHeaderError(name, scope, 'cannot be set by a rule');
}

function headerReadError(name: string, scope: SignScope): string | undefined {
  const compact = compactHeaderName(name);
  if (compact === 'host') return 'cannot be read; use `{host}`';
  if (compact === 'authorization') return 'cannot be read: it may carry the token; use `{access_token}`';
  return commonHeaderError(name, scope, 'cannot be read by a rule');
}

function commonHeaderError(name: string, scope: SignScope, cannot: string): string | undefined {
  const compact = compactHeaderName(name);
  const isOneOf = (names: ReadonlySet<string>) => [...names].some((each) => compactHeaderName(each) === compact);
  if (isOneOf(scope.tokenHeaders)) return `${cannot}: it comes with the token`;
  if (compact === 'cookie') return cannot;
  const belongsToConnection = isOneOf(NOT_CONFIGURABLE_HEADERS) || normalizeHeaderName(name).startsWith('proxy-');
  return belongsToConnection ? `${cannot}: it belongs to the connection` : undefined;
}

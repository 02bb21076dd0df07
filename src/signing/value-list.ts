import type { DerivedValue, DerivedValues } from '../providers/sign-rule.ts';
import { type CompiledFunction, compileFunction, type Inputs, isKept } from './functions.ts';
import { isHeaderValue } from './outgoing-request.ts';
import { type ByteString, impossible, type Lookup, toBytes } from './rule-template.ts';
import { type OnProblem, Scope, type SignProblem, type ValueScope } from './scope.ts';

/** What was computed. */
export interface ComputedValues {
  readonly byName: ReadonlyMap<string, ByteString>;
  /** Those that must not be shown: all that hold a secret, and everything that a key was used for. */
  readonly secrets: readonly ByteString[];
}

/** Values in their order, with templates parsed and keys read. */
export class ValueList {
  readonly #functions = new Map<string, CompiledFunction>();
  readonly #scope: Scope;

  /** @param path of the values, for problems */
  constructor(values: DerivedValues, scope: Scope, path: SignProblem['path']) {
    this.#scope = scope;
    for (const [name, value] of Object.entries(values)) {
      const at = [...path, name];
      const problem = scope.nameError(name);
      if (problem !== undefined) scope.problem(at, problem);
      const compiled = compileFunction(value, scope, at);
      if (compiled !== undefined) this.#functions.set(name, compiled);
      // One with a problem is still known, so that each problem is reported once.
      scope.define(name, compiled ?? { isSecret: true, dependsOnRequest: false });
    }
  }

  get functions(): ReadonlyMap<string, CompiledFunction> {
    return this.#functions;
  }

  /**
   * @param kept `uuid` and `random` values of an earlier attempt, by name; new ones are added
   * @throws ProxyError `signature_impossible`
   */
  async compute(inputs: Inputs, kept: Map<string, ByteString>): Promise<ComputedValues> {
    const byName = new Map<string, ByteString>();
    const secrets: ByteString[] = [];
    const lookup = this.lookup(byName, inputs.lookup);
    for (const [name, compiled] of this.#functions) {
      const computed = kept.get(name) ?? compiled.compute({ ...inputs, lookup });
      const text = typeof computed === 'string' ? computed : await computed;
      if (isKept(compiled)) kept.set(name, text);
      if (compiled.isSecret && text !== '') secrets.push(text);
      byName.set(name, text);
    }
    return { byName, secrets };
  }

  /** The text of a credential. */
  credential(name: string): ByteString | undefined {
    return this.#scope.credential(name);
  }

  /** Finds values and credentials, and what `others` finds. */
  lookup(values: ReadonlyMap<string, ByteString>, others: Lookup): Lookup {
    return (placeholder) =>
      placeholder.kind === 'name'
        ? (values.get(placeholder.name) ?? this.#scope.credential(placeholder.name) ?? others(placeholder))
        : others(placeholder);
  }
}

/** The values of token requests. */
export class CompiledValues {
  readonly #values: ValueList;

  constructor(values: DerivedValues, scope: ValueScope, onProblem: OnProblem) {
    this.#values = new ValueList(values, new Scope(scope, Object.keys(values), onProblem), []);
  }

  /**
   * @param lookup for placeholders that are neither credentials nor values
   * @throws ProxyError `signature_impossible`
   */
  compute(lookup: Lookup, nowMs: number): Promise<ComputedValues> {
    return this.#values.compute({ lookup, nowMs, fieldsOf: () => [] }, new Map());
  }
}

/** The value after the scheme of the header that carries the token. */
export class HeaderValue {
  readonly #compiled: CompiledFunction | undefined;
  readonly #scope: Scope;

  constructor(value: DerivedValue, scope: ValueScope, onProblem: OnProblem) {
    this.#scope = new Scope(scope, [], onProblem);
    this.#compiled = compileFunction(value, this.#scope, []);
  }

  /** @throws ProxyError `signature_impossible` */
  async compute(accessToken: string, nowMs: number): Promise<ByteString> {
    const lookup: Lookup = (placeholder) => {
      if (placeholder.kind !== 'name') return undefined;
      return (
        this.#scope.credential(placeholder.name) ??
        (placeholder.name === 'access_token' ? toBytes(accessToken) : undefined)
      );
    };
    const text = await this.#compiled?.compute({ lookup, nowMs, fieldsOf: () => [] });
    if (text === undefined || !isHeaderValue(text)) {
      throw impossible('The computed value of the header that carries the token cannot be sent in a header.');
    }
    return text;
  }
}

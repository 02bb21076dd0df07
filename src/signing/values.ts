import type { DerivedValue, DerivedValues } from '../providers/sign-rule.ts';
import type { Secret } from '../secret.ts';
import type { ByteString, Placeholder, Template } from './template.ts';

/** A problem of rules or values. `path`: keys from the checked object down. */
export interface SignProblem {
  readonly path: readonly (string | number)[];
  readonly text: string;
  /** The credential whose value is the problem, such as a key that cannot be read. */
  readonly credential?: string;
}

/** What templates may refer to, and the keys. */
export interface ValueScope {
  /** By name. One without a value is known, but cannot be checked or used: it is missing in an emulated configuration. */
  readonly credentials: ReadonlyMap<string, Secret | undefined>;
  /** Names of credentials that may be shown. */
  readonly publicCredentials: ReadonlySet<string>;
  /** Further names: `access_token`, `refresh_token`. Their texts are secret. */
  readonly names: readonly string[];
  /** Whether templates may refer to a request. */
  readonly hasRequest: boolean;
}

/** The texts of placeholders. Undefined: there is none. */
export type Lookup = (placeholder: Placeholder) => ByteString | undefined;

/** What was computed. */
export interface ComputedValues {
  readonly byName: ReadonlyMap<string, ByteString>;
  /** Those that must not be shown: all that hold a secret, and everything that a key was used for. */
  readonly secrets: readonly ByteString[];
}

/** Values in their order, with templates parsed and keys read. */
export class CompiledValues {
  readonly names: readonly string[];
  /** Whether a template refers to the body, as a whole or by a field. */
  readonly needsBody: boolean;

  constructor(_values: DerivedValues, _scope: ValueScope, _onProblem: (problem: SignProblem) => void) {
    throw new Error('not written yet');
  }

  /**
   * @param lookup for placeholders that are neither credentials nor values
   * @param kept `uuid` and `random` values of an earlier attempt, by name; new ones are added
   * @throws ProxyError `signature_impossible`
   */
  compute(_lookup: Lookup, _nowMs: number, _kept: Map<string, ByteString>): Promise<ComputedValues> {
    throw new Error('not written yet');
  }
}

/** The value after the scheme of the header that carries the token. */
export class HeaderValue {
  constructor(_value: DerivedValue, _scope: ValueScope, _onProblem: (problem: SignProblem) => void) {
    throw new Error('not written yet');
  }

  compute(_accessToken: string, _nowMs: number): Promise<ByteString> {
    throw new Error('not written yet');
  }
}

/** The text of a template. @throws ProxyError `signature_impossible` if the text of a placeholder is missing */
export function fillTemplate(_template: Template, _lookup: Lookup): ByteString {
  throw new Error('not written yet');
}

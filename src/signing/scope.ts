import { randomBytes as systemRandomBytes } from 'node:crypto';
import { normalizeHeaderName } from '../http/header-list.ts';
import { DEFAULT_TOKEN_HEADER, hasToken, isRequested, type Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import { readPrivateKey } from './keys.ts';
import {
  type ByteString,
  fromBytes,
  parseTemplate,
  type Placeholder,
  placeholderText,
  REQUEST_PARTS,
  type RequestPlaceholder,
  type RequestRead,
  type Template,
  toBytes,
} from './rule-template.ts';

/** A problem of rules or values. `path`: keys from the checked object down. */
export interface SignProblem {
  readonly path: readonly (string | number)[];
  readonly text: string;
  /** Set if a placeholder, function or option has an unknown name: the name, and those that can stand there. */
  readonly unknown?: { readonly name: string; readonly known: readonly string[] };
  /** The credential whose value is the problem, such as a key that cannot be read. */
  readonly credential?: string;
}

/** What is wrong, without its place. */
export type Fault = Omit<SignProblem, 'path'>;

export type OnProblem = (problem: SignProblem) => void;

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
  /** Default: that of node:crypto. */
  readonly randomBytes?: (size: number) => Buffer;
}

/** The signing of one route may depend on these too. */
export interface SignScope extends ValueScope {
  /** Lower-case names of the headers that carry the token or were issued with it. Rules can neither read nor set them. */
  readonly tokenHeaders: ReadonlySet<string>;
  /** Whether rules may set `Authorization`: only on a route with `token: none`. */
  readonly maySetAuthorization: boolean;
  /** Whether the query carries the token. Default: false. */
  readonly hasTokenInQuery?: boolean;
}

/**
 * What the rules of a route may depend on. A credential without a value is known, but was left out in a configuration
 * that is emulated.
 */
export function signScopeOf(provider: Provider, credentials: ReadonlyMap<string, Secret | undefined>): SignScope {
  const isWithToken = hasToken(provider.token);
  const { name } = provider.tokenHeader ?? DEFAULT_TOKEN_HEADER;
  const issued = isRequested(provider.token) ? Object.keys(provider.token.response.headers ?? {}) : [];
  return {
    credentials,
    publicCredentials: new Set(provider.credentials.filter(({ secret }) => !secret).map((field) => field.name)),
    names: isWithToken ? ['access_token'] : [],
    hasRequest: true,
    tokenHeaders: new Set(isWithToken ? [name, ...issued].map(normalizeHeaderName) : []),
    maySetAuthorization: !isWithToken,
    hasTokenInQuery: provider.tokenQuery !== undefined,
  };
}

/** What is known about a text before there is a request. */
export interface TextFacts {
  /** It must not be shown. */
  readonly isSecret: boolean;
  /** It is made of parts of the request, among others: a caller can choose it. */
  readonly dependsOnRequest: boolean;
}

/** A template whose placeholders are all known. */
export interface CheckedTemplate extends TextFacts {
  readonly template: Template;
  /** Whether it consists of credentials and literal text only. */
  readonly isConstant: boolean;
  /** Its text, if it is constant and all credentials have values. */
  readonly constant: ByteString | undefined;
  /** The name, if it is constant and has one credential. */
  readonly credential: string | undefined;
  /** The placeholders of the request. */
  readonly reads: readonly RequestPlaceholder[];
}

/** What is known about the requests whose parts a template reads. */
export interface RequestFacts {
  /** Whether the part may hold a text that must not be shown. */
  isSecret(read: RequestRead): boolean;
  /** Why the part cannot be read; undefined if it can. */
  problem(placeholder: RequestPlaceholder): Fault | undefined;
}

const ANY_REQUEST: RequestFacts = { isSecret: () => false, problem: () => undefined };

/** The names that templates may refer to: credentials, and the values that were defined so far. */
export class Scope {
  readonly hasRequest: boolean;
  readonly randomBytes: (size: number) => Buffer;
  readonly #names: readonly string[];
  readonly #publicCredentials: ReadonlySet<string>;
  readonly #credentials: ReadonlyMap<string, ByteString | undefined>;
  readonly #defined = new Map<string, TextFacts>();
  /** All values, also those that are not defined yet. */
  readonly #valueNames: readonly string[];
  readonly #request: RequestFacts;
  readonly #onProblem: OnProblem;

  constructor(
    { credentials, publicCredentials, names, hasRequest, randomBytes = systemRandomBytes }: ValueScope,
    valueNames: readonly string[],
    onProblem: OnProblem,
    request: RequestFacts = ANY_REQUEST,
  ) {
    this.hasRequest = hasRequest;
    this.randomBytes = randomBytes;
    this.#names = names;
    this.#publicCredentials = publicCredentials;
    this.#credentials = new Map([...credentials].map(([name, secret]) => [name, secret && toBytes(secret.reveal())]));
    this.#valueNames = valueNames;
    this.#onProblem = onProblem;
    this.#request = request;
  }

  problem(path: SignProblem['path'], text: string, details: Omit<Fault, 'text'> = {}): void {
    this.#onProblem({ path, text, ...details });
  }

  /** Why a value cannot have this name; undefined if it can. */
  nameError(name: string): string | undefined {
    if (!/^[a-z][a-z0-9_]*$/.test(name)) return 'must be lower-case letters, digits and `_`, so that `{name}` works';
    if (this.#credentials.has(name)) return 'has the name of a credential; choose another name';
    const isReserved = [...REQUEST_PARTS, 'access_token', 'refresh_token'].includes(name);
    return isReserved ? 'has the name of a placeholder; choose another name' : undefined;
  }

  /** From here on, templates may refer to this value. */
  define(name: string, facts: TextFacts): void {
    this.#defined.set(name, facts);
  }

  /** The text of a credential. */
  credential(name: string): ByteString | undefined {
    return this.#credentials.get(name);
  }

  /**
   * Parses a template and reports what it must not refer to.
   * @param isKey whether the text is a key, the only one that a private key may be in
   * @returns undefined if there is a problem
   */
  template(path: SignProblem['path'], text: string, isKey = false): CheckedTemplate | undefined {
    const template = parseTemplate(text);
    if ('problem' in template) {
      this.problem(path, template.problem);
      return undefined;
    }
    const placeholders = template.filter((piece) => typeof piece !== 'string');
    const problems = placeholders.flatMap(
      (placeholder) => this.#placeholderProblem(placeholder) ?? (isKey ? [] : (this.#revealed(placeholder) ?? [])),
    );
    for (const { text: problem, ...details } of problems) this.problem(path, problem, details);
    if (problems.length > 0) return undefined;
    const isConstant = placeholders.every((placeholder) => this.#isCredential(placeholder));
    const [only, ...others] = placeholders;
    return {
      template,
      isSecret: placeholders.some((placeholder) => this.isSecret(placeholder)),
      dependsOnRequest: placeholders.some((placeholder) => this.#dependsOnRequest(placeholder)),
      isConstant,
      constant: isConstant ? this.#constant(template) : undefined,
      credential: isConstant && only?.kind === 'name' && others.length === 0 ? only.name : undefined,
      reads: placeholders.filter((placeholder) => placeholder.kind !== 'name'),
    };
  }

  #placeholderProblem(placeholder: Placeholder): Fault | undefined {
    const shown = `\`${placeholderText(placeholder)}\``;
    if (placeholder.kind !== 'name') {
      if (!this.hasRequest)
        return { text: `${shown} is a part of an API call; use credentials and earlier values here` };
      // Which of the two is meant is not certain.
      const name = placeholder.kind === 'request' ? placeholder.part : undefined;
      return name !== undefined && this.#credentials.has(name)
        ? { text: `${shown} is a part of the call and the name of a credential; rename the credential` }
        : this.#request.problem(placeholder);
    }
    const { name } = placeholder;
    if (this.isKnown(name)) return undefined;
    if (this.#valueNames.includes(name)) {
      return { text: `${shown} is a value that is not defined yet; values can use only those above them` };
    }
    if (name === 'access_token' && this.hasRequest) {
      return { text: `there is no ${shown}: the route has \`token: none\`` };
    }
    const parts = this.hasRequest ? REQUEST_PARTS : [];
    const known = [...this.#credentials.keys(), ...this.#defined.keys(), ...this.#names, ...parts];
    return { text: `unknown placeholder ${shown}`, unknown: { name, known } };
  }

  /** A private key never leaves the proxy, not even to the provider. */
  #revealed(placeholder: Placeholder): Fault | undefined {
    if (!this.#isCredential(placeholder) || placeholder.kind !== 'name') return undefined;
    const text = this.#credentials.get(placeholder.name);
    return text !== undefined && 'key' in readPrivateKey(fromBytes(text))
      ? { text: `\`${placeholderText(placeholder)}\` is a private key, which would be sent; it can only be a \`key\`` }
      : undefined;
  }

  #constant(template: Template): ByteString | undefined {
    const texts = template.map((piece) => {
      if (typeof piece === 'string') return piece;
      return piece.kind === 'name' ? this.#credentials.get(piece.name) : undefined;
    });
    return texts.includes(undefined) ? undefined : texts.join('');
  }

  /** Whether `{name}` is a credential, a value that is defined so far, or one of the further names. */
  isKnown(name: string): boolean {
    return this.#defined.has(name) || this.#credentials.has(name) || this.#names.includes(name);
  }

  /** Whether the text must not be shown. */
  isSecret(read: Placeholder | RequestRead): boolean {
    if (read.kind !== 'name') return this.#request.isSecret(read);
    const value = this.#defined.get(read.name);
    return value === undefined ? !this.#publicCredentials.has(read.name) : value.isSecret;
  }

  #dependsOnRequest(placeholder: Placeholder): boolean {
    return placeholder.kind !== 'name' || this.#defined.get(placeholder.name)?.dependsOnRequest === true;
  }

  #isCredential(placeholder: Placeholder): boolean {
    return (
      placeholder.kind === 'name' && !this.#defined.has(placeholder.name) && this.#credentials.has(placeholder.name)
    );
  }
}

import type { Encoding, ExchangeRequest } from '../providers/provider.ts';
import { fill, placeholdersIn } from '../providers/template.ts';
import type { Secret } from '../secret.ts';
import { bodyFields } from './exchange-body.ts';

/** A request that came to a token endpoint, as it was on the wire. */
export interface ReceivedExchange {
  readonly method: string;
  /** Percent-encoded, without the query. */
  readonly path: string;
  /** Without the `?`. */
  readonly query: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** `malformed`: not the question this endpoint expects. `denied`: the right question with a wrong credential. */
export type Verdict =
  | { readonly kind: 'accepted'; readonly refreshToken: string | undefined }
  | { readonly kind: 'malformed' | 'denied'; readonly reason: string };

/** Thrown within the check alone, as soon as the verdict is clear. Reasons name fields, never values. */
class Refusal extends Error {
  readonly kind: 'malformed' | 'denied';

  constructor(kind: 'malformed' | 'denied', reason: string) {
    super(reason);
    this.kind = kind;
  }
}

/** Judges requests to one token endpoint by its definition. */
export class ExchangeCheck {
  readonly #request: ExchangeRequest;
  readonly #encodings: readonly Encoding[];
  readonly #credentials: ReadonlyMap<string, Secret>;
  readonly #pathNames: readonly string[];
  readonly #pathPattern: RegExp;
  readonly #query: readonly (readonly [string, string])[];

  /** `encodings` are accepted beside the one that the definition names. */
  constructor(
    request: ExchangeRequest,
    basePath: string,
    credentials: ReadonlyMap<string, Secret>,
    encodings: readonly Encoding[] = [],
  ) {
    const [path = '', query = ''] = pathOf(request.path, basePath).split('?', 2);
    this.#request = request;
    this.#credentials = credentials;
    this.#encodings = request.body === undefined ? [] : [...new Set([request.body.encoding, ...encodings])];
    this.#pathNames = placeholdersIn(path);
    this.#pathPattern = new RegExp(
      `^${path
        .split(/\{[a-z][a-z0-9_]*\}/)
        .map(literally)
        .join('([^/]+)')}$`,
    );
    this.#query = [...new URLSearchParams(query), ...Object.entries(request.query ?? {})];
  }

  matchesPath(path: string): boolean {
    return this.#pathPattern.test(path);
  }

  async check(received: ReceivedExchange): Promise<Verdict> {
    const found: string[] = [];
    try {
      this.#checkMethod(received);
      const fields = this.#request.body === undefined ? undefined : await this.#fields(received);
      if (fields === undefined && received.body.length > 0) throw new Refusal('malformed', 'expected no body');
      this.#checkQuery(received, found);
      this.#checkHeaders(received.headers, found);
      for (const [name, template] of Object.entries(this.#request.body?.fields ?? {})) {
        this.#compare(`body field ${name}`, template, fields?.get(name) ?? [], found);
      }
      this.#checkPath(received.path, found);
      this.#checkBasic(received.headers, found);
      return { kind: 'accepted', refreshToken: found[0] };
    } catch (error) {
      if (error instanceof Refusal) return { kind: error.kind, reason: error.message };
      throw error;
    }
  }

  #checkMethod({ method }: ReceivedExchange): void {
    const expected = this.#request.method;
    if (method !== expected) throw new Refusal('malformed', `expected ${expected}, not ${method}`);
  }

  async #fields(received: ReceivedExchange): Promise<ReadonlyMap<string, readonly unknown[]>> {
    const fields = await bodyFields(received.body, received.headers.get('content-type') ?? '', this.#encodings);
    if (typeof fields === 'string') throw new Refusal('malformed', fields);
    return fields;
  }

  #checkQuery(received: ReceivedExchange, found: string[]): void {
    const query = new URLSearchParams(received.query);
    for (const [name, template] of this.#query) {
      this.#compare(`query parameter ${name}`, template, query.getAll(name), found);
    }
  }

  #checkHeaders(headers: Headers, found: string[]): void {
    for (const [name, template] of Object.entries(this.#request.headers ?? {})) {
      const value = headers.get(name);
      // A client that takes more than the definition's own type is as good.
      if (name.toLowerCase() === 'accept' && admits(value ?? '*/*', template)) continue;
      this.#compare(`header ${name}`, template, value === null ? [] : [value], found);
    }
  }

  #checkPath(path: string, found: string[]): void {
    const values = this.#pathPattern.exec(path)?.slice(1) ?? [];
    for (const [index, name] of this.#pathNames.entries()) {
      this.#compare('path', `{${name}}`, [decoded(values[index] ?? '')], found);
    }
  }

  /** RFC 7617: the user ends at the first colon. */
  #checkBasic(headers: Headers, found: string[]): void {
    if (this.#request.basic === undefined) return;
    const encoded = /^basic ([a-z0-9+/]+={0,2})$/i.exec(headers.get('authorization') ?? '')?.[1];
    if (encoded === undefined) throw new Refusal('denied', 'expected Authorization: Basic');
    const [, user = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? [];
    this.#compare('Basic user', this.#request.basic[0], [user], found);
    this.#compare('Basic password', this.#request.basic[1], [password], found);
  }

  /** Exactly one value is there and is what the template says; a refresh token in it is put into `found`. */
  #compare(what: string, template: string, values: readonly unknown[], found: string[]): void {
    const [value, ...more] = values;
    if (typeof value !== 'string' || more.length > 0) throw new Refusal('malformed', `expected one ${what}, a string`);
    const expected = fill(template, (name) => this.#credentials.get(name)?.reveal());
    const [before = '', after] = expected.split('{refresh_token}', 2);
    if (after !== undefined && value.startsWith(before) && value.endsWith(after)) {
      found.push(value.slice(before.length, value.length - after.length));
    } else if (value !== expected) {
      const kind = placeholdersIn(template).length > 0 ? 'denied' : 'malformed';
      throw new Refusal(kind, kind === 'denied' ? `wrong ${what}` : `expected ${what} to be ${template}`);
    }
  }
}

/** An absolute URL names another host; here it is served under its path. */
function pathOf(path: string, basePath: string): string {
  const [origin] = /^https?:\/\/[^/?]+/i.exec(path) ?? [];
  return origin === undefined ? basePath + path : path.slice(origin.length);
}

/** The text as a pattern that matches it alone. */
function literally(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Whether an Accept line takes a media type (RFC 9110 12.5.1), whatever its weights. */
function admits(accept: string, type: string): boolean {
  const [kind = ''] = type.split('/', 1);
  const ranges = accept.split(',').map((range) => (range.split(';', 1)[0] ?? '').trim().toLowerCase());
  return ranges.some((range) => range === type || range === `${kind}/*` || range === '*/*');
}

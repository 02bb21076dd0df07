import { combinedHeaderValue, compactHeaderName } from '../http/header-list.ts';
import type { PathSegments } from './call-pattern.ts';
import type { Field } from './fields.ts';
import { JsonText, minified } from './json-text.ts';
import { Pairs } from './pairs.ts';
import { type ByteString, type FieldList, impossible, jsonPath, type RequestPlaceholder } from './rule-template.ts';

/** A request as it will go out, before it is signed. */
export interface UnsignedRequest {
  readonly method: string;
  /** The `Host` header. */
  readonly host: string;
  /** Path of the base URL of the API, without a trailing slash. */
  readonly basePath: string;
  /** Below `basePath`, as the client sent it. */
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
  /** Names and values in turn, without those that the HTTP client writes. */
  readonly headers: readonly string[];
  readonly body: Buffer | undefined;
  /** Undefined on a route with `token: none`. */
  readonly accessToken: string | undefined;
  /** Epoch milliseconds, by the provider's clock if it is known. */
  readonly nowMs: number;
}

/**
 * The targets of a rule whose members belong together: if the app sent all members of one, they stay. An empty member
 * counts as not sent: it is an empty string or `null`, which serializers of typed objects write for what is not set.
 */
export const MEMBER_TARGETS = ['json', 'form', 'query'] as const;
export type MemberTarget = (typeof MEMBER_TARGETS)[number];

/** Compact names of the headers that describe the bytes of a body (RFC 3230, RFC 9530, RFC 1864). */
export const BODY_DIGEST_HEADERS: ReadonlySet<string> = new Set([
  'digest',
  'contentdigest',
  'reprdigest',
  'contentmd5',
]);

const FORM = 'application/x-www-form-urlencoded';

/** Names of UTF-8, and of its part that is ASCII. */
const UTF_8: ReadonlySet<string> = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii']);

/** A request while rules are applied to it: what their placeholders read, and where their targets are put. */
export class OutgoingRequest {
  readonly #request: UnsignedRequest;
  /** With its question mark, or empty. */
  #query: string;
  #headers: string[];
  /** Undefined until it is read or changed, so that a body that no rule needs may be a stream. */
  #body: ByteString | undefined;
  #isBodyChanged = false;
  #json: JsonText | undefined;
  #formPairs: Pairs | undefined;
  #queryPairs: Pairs | undefined;
  /** Compact names of the headers that a rule wrote. */
  readonly #signedHeaders = new Set<string>();

  constructor(request: UnsignedRequest) {
    this.#request = request;
    this.#query = request.query;
    this.#headers = [...request.headers];
  }

  get accessToken(): string | undefined {
    return this.#request.accessToken;
  }

  get nowMs(): number {
    return this.#request.nowMs;
  }

  get query(): string {
    return this.#query;
  }

  get headers(): string[] {
    return this.#headers;
  }

  get body(): Buffer | undefined {
    return this.#isBodyChanged ? Buffer.from(this.#body ?? '', 'latin1') : this.#request.body;
  }

  /**
   * The text of a placeholder. Undefined if there is none.
   * @param segments of the path, by the names in the entry of `calls`
   * @throws ProxyError `signature_impossible`
   */
  text(placeholder: RequestPlaceholder, segments: PathSegments): ByteString | undefined {
    if (placeholder.kind === 'request') return this.#part(placeholder.part);
    const { source, name, optional } = placeholder;
    switch (source) {
      case 'path':
        return segments.get(name);
      case 'query':
        return this.#queryFields().valueOf(name);
      case 'header':
        return this.#header(name);
      case 'form':
        return optional && this.#bytes() === '' ? undefined : this.#formFields().valueOf(name);
      case 'json':
        return optional && this.#bytes() === '' ? undefined : this.#jsonBody().scalarAt(jsonPath(name));
    }
  }

  /** @throws ProxyError `signature_impossible` */
  fieldsOf(list: FieldList): readonly Field[] {
    switch (list.kind) {
      case 'form':
        return this.#formFields().fields;
      case 'query':
        return this.#queryFields().fields;
      case 'json': {
        const members = this.#jsonBody().membersAt(list.path);
        if (members === undefined) throw impossible(`The body has no object \`${list.path.join('.')}\`.`);
        return members;
      }
    }
  }

  /** Whether the request has all of these members, none of them empty. @throws ProxyError `signature_impossible` */
  hasAll(target: MemberTarget, names: readonly string[]): boolean {
    switch (target) {
      case 'json':
        return this.#jsonBody().hasAll(names);
      case 'form':
        return this.#formFields().hasAll(names);
      case 'query':
        return this.#queryFields().hasAll(names);
    }
  }

  /** Replaces the members that are there, and appends the others. @throws ProxyError `signature_impossible` */
  setMembers(target: MemberTarget, members: ReadonlyMap<string, ByteString>): void {
    switch (target) {
      case 'json':
        this.#changeBody(this.#jsonBody().withMembers(members));
        break;
      case 'form':
        this.#changeBody(this.#formFields().withFields(members));
        break;
      case 'query':
        this.#query = `?${this.#queryFields().withFields(members)}`;
        this.#queryPairs = undefined;
    }
  }

  /** Replaces the header in every spelling. @throws ProxyError `signature_impossible` */
  setHeader(name: string, value: ByteString): void {
    if (!isHeaderValue(value))
      throw impossible(`The value for the header \`${name}\` has a character that no header can have.`);
    const compact = compactHeaderName(name);
    this.#dropHeaders((other) => other === compact);
    this.#headers.push(name, value);
    this.#signedHeaders.add(compact);
  }

  #part(part: Extract<RequestPlaceholder, { kind: 'request' }>['part']): ByteString {
    const { method, host, basePath, path } = this.#request;
    switch (part) {
      case 'method':
        return method;
      case 'host':
        return host;
      case 'path':
        return basePath + path;
      case 'query':
        return this.#query.slice(1);
      case 'target':
        return basePath + path + this.#query;
      case 'call_path':
        return path;
      case 'body':
        return this.#bytes();
      case 'body_minified':
        return minified(this.#bytes());
    }
  }

  /** The one line of a header. Which of several a server reads, or whether it joins them, is not certain. */
  #header(name: string): ByteString | undefined {
    const compact = compactHeaderName(name);
    const lines = this.#headers.flatMap((line, i) =>
      i % 2 === 0 && compactHeaderName(line) === compact ? [[line, this.#headers[i + 1]] as const] : [],
    );
    if (lines.length > 1) throw impossible(`The request has the header \`${name}\` more than once.`);
    const [line, value] = lines[0] ?? [];
    return line?.toLowerCase() === name.toLowerCase() ? value : undefined;
  }

  #bytes(): ByteString {
    if (this.#body === undefined) {
      const coding = combinedHeaderValue(this.#headers, 'content-encoding')?.trim().toLowerCase() ?? '';
      if (coding !== '' && coding !== 'identity') {
        throw impossible('The body has a Content-Encoding, so it cannot be read; send it without.');
      }
      this.#body = this.#request.body?.toString('latin1') ?? '';
    }
    return this.#body;
  }

  #jsonBody(): JsonText {
    if (this.#json === undefined) {
      const type = this.#mediaType();
      // The upstream would find other fields in it.
      if (type === FORM || type?.startsWith('multipart/') === true) {
        throw impossible('The Content-Type of the body is that of a form; it must be `application/json`.');
      }
      this.#json = new JsonText(this.#bytes());
    }
    return this.#json;
  }

  #formFields(): Pairs {
    if (this.#mediaType() !== FORM) throw impossible(`The Content-Type of the body must be \`${FORM}\`.`);
    return (this.#formPairs ??= new Pairs(this.#bytes()));
  }

  /** Refuses a charset in which the upstream would read another text. */
  #mediaType(): string | undefined {
    const [type, ...parameters] = this.#header('content-type')?.toLowerCase().split(';') ?? [];
    const charsets = parameters.flatMap((text) => {
      const [name = '', value = ''] = text.split('=');
      return name.trim() === 'charset' ? value.replaceAll('"', '').trim() : [];
    });
    if (!charsets.every((charset) => UTF_8.has(charset))) {
      throw impossible('The Content-Type of the body has a charset other than `utf-8`.');
    }
    // Servers differ in what they take for the end of the type, so some would find other fields in the body.
    if (type !== undefined && !/^[^\s,]*$/.test(type.trim())) {
      throw impossible('The Content-Type of the body is not one media type.');
    }
    return type?.trim();
  }

  #queryFields(): Pairs {
    return (this.#queryPairs ??= new Pairs(this.#query.slice(1)));
  }

  #changeBody(body: ByteString): void {
    this.#body = body;
    this.#json = undefined;
    this.#formPairs = undefined;
    this.#isBodyChanged = true;
    // The app computed them for the body that it sent.
    this.#dropHeaders((name) => BODY_DIGEST_HEADERS.has(name) && !this.#signedHeaders.has(name));
  }

  /** @param isDropped gets compact names */
  #dropHeaders(isDropped: (name: string) => boolean): void {
    const kept: string[] = [];
    for (let i = 0; i < this.#headers.length; i += 2) {
      const name = this.#headers[i] ?? '';
      if (!isDropped(compactHeaderName(name))) kept.push(name, this.#headers[i + 1] ?? '');
    }
    this.#headers = kept;
  }
}

/** Whether a header can carry the value: no control character, no line break (RFC 9110 5.5). */
export function isHeaderValue(value: ByteString): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value);
}

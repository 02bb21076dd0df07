import { CLIENT_SET_HEADERS } from '../header-list.ts';
import { invalidRequest } from './failures.ts';

/** How a request body is delimited (RFC 9112 6): no body, a length in bytes, or chunked. */
export type Framing = number | 'none' | 'chunked';

/** Methods that send `Content-Length: 0` for an empty body (RFC 9110 8.6). */
const METHODS_WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);

/** Size of the list of strings that were validated before. */
const MAX_CACHED = 128;

/** RFC 9110 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NOT_IN_TARGET = /[^!-~\x80-\xff]/;
const NOT_IN_VALUE = /[^\t -~\x80-\xff]/;

/** Writes request heads for one origin. Refuses input that would not be exactly one request (request smuggling). */
export class RequestHeads {
  readonly #beforeTarget: string;
  readonly #afterTarget: string;
  /**
   * Names and values that were valid in an earlier request, by index. Successive requests have similar headers, and
   * comparing two strings costs a tenth of checking each character.
   */
  readonly #valid: string[] = [];

  /**
   * @param host value of the Host line
   * @param proxy for requests to a proxy, in absolute form (RFC 9112 3.2.2): the origin, such as `http://api.example.com`,
   * and the header line with the proxy's credentials, if any
   */
  constructor(host: string, proxy?: { readonly origin: string; readonly authorizationLine: string }) {
    if (host === '' || NOT_IN_TARGET.test(host)) throw invalidRequest('the host has a character that is not allowed');
    this.#beforeTarget = ` ${proxy?.origin ?? ''}`;
    this.#afterTarget = ` HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n${proxy?.authorizationLine ?? ''}`;
  }

  /**
   * A request line and header lines, to be written as Latin-1.
   * @param headers names and values in turn, without `CLIENT_SET_HEADERS`
   * @throws ProxyError `internal_error`, `not_sent`
   */
  build(method: string, target: string, headers: readonly string[], framing: Framing): string {
    // CONNECT is not for origin servers: it opens a tunnel (RFC 9110 9.3.6).
    if (!TOKEN.test(method) || method === 'CONNECT') throw invalidRequest('its method is not allowed');
    if (target === '' || NOT_IN_TARGET.test(target))
      throw invalidRequest('its target has a character that is not allowed');
    if (headers.length % 2 !== 0) throw invalidRequest('its last header has no value');
    let head = `${method}${this.#beforeTarget}${target}${this.#afterTarget}`;
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? '';
      const value = headers[i + 1] ?? '';
      if (name !== this.#valid[i]) this.#checkName(name, i);
      if (value !== this.#valid[i + 1]) this.#checkValue(name, value, i + 1);
      head += `${name}: ${value}\r\n`;
    }
    if (framing === 'chunked') return `${head}transfer-encoding: chunked\r\n\r\n`;
    if (framing !== 'none') return `${head}content-length: ${framing}\r\n\r\n`;
    return METHODS_WITH_BODY.has(method) ? `${head}content-length: 0\r\n\r\n` : `${head}\r\n`;
  }

  #checkName(name: string, index: number): void {
    if (!TOKEN.test(name)) throw invalidRequest('a header name has a character that is not allowed');
    if (CLIENT_SET_HEADERS.has(name.toLowerCase()))
      throw invalidRequest(`its header ${name.toLowerCase()} is set by the client itself`);
    if (index < MAX_CACHED) this.#valid[index] = name;
  }

  #checkValue(name: string, value: string, index: number): void {
    if (NOT_IN_VALUE.test(value)) throw invalidRequest(`its header ${name} has a character that is not allowed`);
    if (index < MAX_CACHED) this.#valid[index] = value;
  }
}

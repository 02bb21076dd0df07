import { CLIENT_SET_HEADERS } from '../header-list.ts';
import { invalidRequest } from './failures.ts';

/** How the body of a request is delimited: not at all, by its length in bytes, or by chunked coding. */
export type Framing = number | 'none' | 'chunked';

/** Methods whose requests say that their body is empty (RFC 9110 8.6). */
const EXPECTS_BODY = new Set(['POST', 'PUT', 'PATCH']);

/** Header lines of the last request that are compared with those of the next one. */
const MAX_REMEMBERED = 128;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NOT_IN_TARGET = /[^!-~\x80-\xff]/;
const NOT_IN_VALUE = /[^\t -~\x80-\xff]/;

/** Writes the heads of the requests to one origin, and refuses everything that would not be exactly one request. */
export class RequestHeads {
  readonly #afterTarget: string;
  /**
   * Names and values that were checked before, by their place in the list. Requests of one application are alike, and
   * to compare two strings costs a tenth of checking each character.
   */
  readonly #checked: string[] = [];

  /** @param host value of the Host line */
  constructor(host: string) {
    if (host === '' || NOT_IN_TARGET.test(host)) throw invalidRequest('the host has a character that is not allowed');
    this.#afterTarget = ` HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
  }

  /**
   * A request line and header lines, to be written as Latin-1.
   * @param headers names and values by turns, without `host`, `connection`, `content-length` and `transfer-encoding`
   * @throws ProxyError `internal_error`, `not_sent`
   */
  build(method: string, target: string, headers: readonly string[], framing: Framing): string {
    // A CONNECT is no request to an origin: what follows its response is a tunnel.
    if (!TOKEN.test(method) || method === 'CONNECT') throw invalidRequest('its method is not allowed');
    if (target === '' || NOT_IN_TARGET.test(target))
      throw invalidRequest('its target has a character that is not allowed');
    if (headers.length % 2 !== 0) throw invalidRequest('its last header has no value');
    let head = `${method} ${target}${this.#afterTarget}`;
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? '';
      const value = headers[i + 1] ?? '';
      if (name !== this.#checked[i]) this.#checkName(name, i);
      if (value !== this.#checked[i + 1]) this.#checkValue(name, value, i + 1);
      head += `${name}: ${value}\r\n`;
    }
    if (framing === 'chunked') return `${head}transfer-encoding: chunked\r\n\r\n`;
    if (framing !== 'none') return `${head}content-length: ${framing}\r\n\r\n`;
    return EXPECTS_BODY.has(method) ? `${head}content-length: 0\r\n\r\n` : `${head}\r\n`;
  }

  #checkName(name: string, place: number): void {
    if (!TOKEN.test(name)) throw invalidRequest('a header name has a character that is not allowed');
    if (CLIENT_SET_HEADERS.has(name.toLowerCase()))
      throw invalidRequest(`its header ${name.toLowerCase()} is set by the client itself`);
    if (place < MAX_REMEMBERED) this.#checked[place] = name;
  }

  #checkValue(name: string, value: string, place: number): void {
    if (NOT_IN_VALUE.test(value)) throw invalidRequest(`its header ${name} has a character that is not allowed`);
    if (place < MAX_REMEMBERED) this.#checked[place] = value;
  }
}

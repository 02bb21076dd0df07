import { randomBytes } from 'node:crypto';

/** A request that has passed through this many Wakalas is refused. They may be replicas that send it to each other. */
const MAX_WAKALAS = 10;

const PSEUDONYM = /^wakala(-[0-9a-f]{8})?$/;

/**
 * How this Wakala names itself in the `Via` header of requests that it forwards (RFC 9110 7.6.3): by a random pseudonym,
 * which all of its workers share. A request that already has it is in a loop. The pseudonym of another Wakala means a
 * chain of proxies, such as a sidecar and a gateway.
 */
export class Via {
  /** Eight hexadecimal digits. */
  readonly id: string;
  /** What is appended to `Via`. */
  readonly entry: string;
  readonly #pseudonym: string;

  constructor(id = randomBytes(4).toString('hex')) {
    this.id = id;
    this.#pseudonym = `wakala-${id}`;
    this.entry = `1.1 ${this.#pseudonym}`;
  }

  /** Whether a request with this `Via` header came through this Wakala, or through too many others. */
  isLoop(via: string): boolean {
    const pseudonyms = wakalasIn(via);
    return pseudonyms.length >= MAX_WAKALAS || pseudonyms.includes(this.#pseudonym);
  }
}

/** The pseudonyms of all Wakalas in a `Via` header. */
export function wakalasIn(via: string): string[] {
  // `1.1 wakala-1a2b3c4d`, and possibly a comment after it.
  const pseudonyms = via.split(',').map((hop) => hop.trim().split(/\s+/, 2)[1]?.toLowerCase() ?? '');
  return pseudonyms.filter((pseudonym) => PSEUDONYM.test(pseudonym));
}

import { type Random, randomOf } from '../../support/random.ts';

export interface GeneratedResponse {
  readonly method: string;
  readonly bytes: Buffer;
  /** A valid, unchanged response: it must be accepted, unless it was truncated. */
  readonly isValid: boolean;
  /** Bytes of it that come before the connection ends; all if it was not cut off. */
  readonly length: number;
  /** Offsets at which its parts end. */
  readonly cuts: readonly number[];
}

const NAMES = [
  'a',
  'Date',
  'Content-Type',
  'set-cookie',
  'X_odd.name',
  'x-long-header-name',
  'ETag',
  'Connectio',
  'Transfer-Encodin',
  'server',
];
const VALUES = [
  '',
  'b',
  'text/plain; charset=utf-8',
  'a=1; Path=/',
  '\x80\xff',
  'x'.repeat(200),
  '"quoted, value"',
  'chunked',
  '12',
  'close\tdoor',
];
const REASONS = ['OK', '', 'Not Found', 'R\xe9ponse', 'a  b', '200'];
const STATUSES = [200, 200, 200, 200, 201, 204, 206, 302, 304, 400, 401, 404, 409, 500, 503, 599];
const INTERIM = [
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n',
  'HTTP/1.1 102 \r\n\r\n',
];
const CONNECTION = ['keep-alive', 'close', 'Keep-Alive, x', 'x, Close', 'upgrade'];
const EXTENSIONS = [';a', ';a=b', ';a=b;c', ';sig="x y"', ';q="\\""'];
const TRAILERS = ['Digest: abc\r\n', 'x:\r\n', 'a: b\r\nc: d\r\n'];

/** What is put into responses to break them, or not. */
const PIECES = [
  '\r',
  '\n',
  '\r\n',
  '\r\n\r\n',
  '\n\n',
  ' ',
  '\t',
  '\0',
  '\x01',
  '\x7f',
  '\x80',
  '\xff',
  ':',
  ';',
  ',',
  '=',
  '"',
  '0',
  '1',
  'f',
  'F',
  '-',
  '+',
  'x',
  'Content-Length: 5\r\n',
  'content-length: 0\r\n',
  'Content-Length : 3\r\n',
  'Content-Length: 1, 1\r\n',
  'Content-Length: 18446744073709551617\r\n',
  'Transfer-Encoding: chunked\r\n',
  'transfer-encoding: Chunked\r\n',
  'Transfer-Encoding: gzip, chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer-Encoding: \r\n',
  'Transfer-Encoding: chunked, identity\r\n',
  'Trailer: x\r\n',
  'Connection: close\r\n',
  'Connection: keep-alive\r\n',
  'Connection: upgrade\r\nUpgrade: y\r\n',
  ' folded\r\n',
  '\tfolded\r\n',
  'no colon\r\n',
  ': no name\r\n',
  '0\r\n\r\n',
  '5\r\nhello\r\n',
  '00000000000000000005\r\nhello\r\n',
  'ffffffffffffffff\r\n',
  '5;a=b\r\nhello\r\n',
  '5 \r\nhello\r\n',
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.0 100 Continue\r\n\r\n',
  'HTTP/1.1 101 Switching Protocols\r\n\r\n',
  'HTTP/1.0 ',
  'HTTP/2.0 ',
  'HTTP/1.1 99 x\r\n',
  'HTTP/1.1 700 x\r\n',
];

/** The `number`th response of a seed, valid or broken. */
export function generateResponse(seed: number, number: number): GeneratedResponse {
  const random = randomOf(seed, number);
  const method = random.pick(['GET', 'GET', 'GET', 'POST', 'HEAD']);
  const valid = validResponse(random, method);
  const isValid = random.chance(0.4);
  const text = isValid ? valid : broken(random, valid);
  const bytes = Buffer.from(text, 'latin1');
  const length = random.chance(0.35) ? random.between(0, bytes.length + 1) : bytes.length;
  return { method, bytes, isValid, length, cuts: cutsOf(random, length) };
}

function validResponse(random: Random, method: string): string {
  const interim = random.chance(0.1) ? random.pick(INTERIM).repeat(random.between(1, 4)) : '';
  const status = random.pick(STATUSES);
  const body = random.chance(0.2) ? '' : 'body '.repeat(random.between(1, 30));
  const version = random.chance(0.15) ? '0' : '1';
  const lines = Array.from({ length: random.between(0, 5) }, () => headerLine(random));
  const hasBody = method !== 'HEAD' && status !== 204 && status !== 304;
  const framing = random.weighted({ length: 5, chunks: version === '1' ? 5 : 0, close: 2 });
  let sentBody = hasBody ? body : '';
  if (framing === 'length') lines.push(`${random.pick(['Content-Length', 'content-length'])}: ${body.length}\r\n`);
  if (framing === 'chunks') {
    lines.push(
      random.pick([
        'Transfer-Encoding: chunked\r\n',
        'transfer-encoding:chunked\r\n',
        'Transfer-Encoding: Chunked \r\n',
      ]),
    );
    if (hasBody) sentBody = inChunks(random, body);
  }
  if (random.chance(0.3)) lines.push(`Connection: ${random.pick(CONNECTION)}\r\n`);
  if (random.chance(0.2)) lines.push(`Keep-Alive: timeout=${random.between(0, 100)}\r\n`);
  shuffle(random, lines);
  return `${interim}HTTP/1.${version} ${status} ${random.pick(REASONS)}\r\n${lines.join('')}\r\n${sentBody}`;
}

function headerLine(random: Random): string {
  const blanks = () => random.pick(['', ' ', ' ', ' ', '\t', '  ']);
  return `${random.pick(NAMES)}:${blanks()}${random.pick(VALUES)}${random.chance(0.1) ? blanks() : ''}\r\n`;
}

function inChunks(random: Random, body: string): string {
  let out = '';
  for (let at = 0; at < body.length;) {
    const chunk = body.slice(at, at + random.between(1, 60));
    const size = random.chance(0.2)
      ? chunk.length.toString(16).toUpperCase().padStart(4, '0')
      : chunk.length.toString(16);
    out += `${size}${random.chance(0.1) ? random.pick(EXTENSIONS) : ''}\r\n${chunk}\r\n`;
    at += chunk.length;
  }
  return `${out}0\r\n${random.chance(0.15) ? random.pick(TRAILERS) : ''}\r\n`;
}

/** Changed in one to three places. */
function broken(random: Random, text: string): string {
  let changed = text;
  for (let left = random.between(1, 4); left > 0; left--) changed = changedOnce(random, changed);
  return changed;
}

function changedOnce(random: Random, text: string): string {
  const at = placeIn(random, text);
  const to = Math.min(text.length, at + random.between(1, 9));
  const [before, within, after] = [text.slice(0, at), text.slice(at, to), text.slice(to)];
  switch (random.between(0, 6)) {
    case 0:
      return before + after;
    case 1:
      return before + within + within + after;
    case 2:
      return before + String.fromCharCode(random.between(0, 256)) + text.slice(at + 1);
    default:
      return before + random.pick(PIECES) + text.slice(at);
  }
}

/** Any place, but more often one where something begins or ends. */
function placeIn(random: Random, text: string): number {
  if (random.chance(0.3)) return random.between(0, text.length + 1);
  const breaks = [...text.matchAll(/\r\n|: |;/g)].map(({ index, 0: found }) => index + random.pick([0, found.length]));
  return breaks.length === 0 ? 0 : random.pick(breaks);
}

function cutsOf(random: Random, length: number): number[] {
  const cuts = Array.from({ length: random.pick([0, 0, 1, 1, 2, 3, 8]) }, () => random.between(0, length + 1));
  return cuts.sort((a, b) => a - b);
}

function shuffle<T>(random: Random, list: T[]): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.between(0, i + 1);
    [list[i], list[j]] = [list[j]!, list[i]!];
  }
}

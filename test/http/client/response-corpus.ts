/** A valid or invalid response, and what the client must do with it. */
export interface ResponseCase {
  readonly name: string;
  readonly bytes: string;
  /** Default: `GET`. */
  readonly method?: string;
}

export interface AcceptedCase extends ResponseCase {
  readonly status: number;
  readonly reason?: string;
  readonly body: string;
  readonly headers?: readonly string[];
  /** Whether the connection can be reused. Default: true. */
  readonly keepsAlive?: boolean;
  /** The body ends with the connection. */
  readonly untilClose?: boolean;
  /** Bytes behind the response. */
  readonly excess?: number;
}

export interface RefusedCase extends ResponseCase {
  readonly rule: number;
}

const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** A head of exactly so many bytes, without a body. */
export function headOf(bytes: number): string {
  const start = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx: ';
  return `${start}${'y'.repeat(bytes - start.length - 4)}\r\n\r\n`;
}

export const ACCEPTED: readonly AcceptedCase[] = [
  { name: 'a body with a length', bytes: OK, status: 200, reason: 'OK', body: 'ok', headers: ['Content-Length', '2'] },
  { name: 'no body', bytes: 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', status: 200, body: '' },
  { name: 'no reason', bytes: 'HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n', status: 404, reason: '', body: '' },
  { name: 'no space before no reason', bytes: 'HTTP/1.1 404\r\ncontent-length: 0\r\n\r\n', status: 404, body: '' },
  {
    name: 'a long reason',
    bytes: 'HTTP/1.1 200 Tr\xe8s\tbien, oui\r\ncontent-length: 0\r\n\r\n',
    status: 200,
    reason: 'Tr\xe8s\tbien, oui',
    body: '',
  },
  { name: 'the lowest final status', bytes: 'HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n', status: 200, body: '' },
  { name: 'the highest status', bytes: 'HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n', status: 599, body: '' },
  { name: 'one interim response', bytes: `HTTP/1.1 100 Continue\r\n\r\n${OK}`, status: 200, body: 'ok' },
  {
    name: '32 interim responses',
    bytes: `${'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(32)}${OK}`,
    status: 200,
    body: 'ok',
  },
  {
    name: 'an interim response with a length of 0',
    bytes: `HTTP/1.1 102 \r\ncontent-length: 0\r\n\r\n${OK}`,
    status: 200,
    body: 'ok',
  },
  {
    name: 'values without and with blanks around them',
    bytes: 'HTTP/1.1 200 OK\r\na:b\r\nc: \t d e \t\r\nf:\r\ng: \r\ncontent-length: 0\r\n\r\n',
    status: 200,
    body: '',
    headers: ['a', 'b', 'c', 'd e', 'f', '', 'g', '', 'content-length', '0'],
  },
  {
    name: 'all characters of a name',
    bytes: "HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~09azAZ: x\r\ncontent-length: 0\r\n\r\n",
    status: 200,
    body: '',
    headers: ["!#$%&'*+-.^_`|~09azAZ", 'x', 'content-length', '0'],
  },
  {
    name: 'bytes above ASCII in a value',
    bytes: 'HTTP/1.1 200 OK\r\na: \x80\xff\r\ncontent-length: 0\r\n\r\n',
    status: 200,
    body: '',
    headers: ['a', '\x80\xff', 'content-length', '0'],
  },
  {
    name: 'the same name twice',
    bytes: 'HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n\r\n',
    status: 200,
    body: '',
    headers: ['set-cookie', 'a', 'set-cookie', 'b', 'content-length', '0'],
  },
  { name: 'a head of 16 KiB', bytes: headOf(16 * 1024), status: 200, body: '' },
  {
    name: 'a length with zeros in front',
    bytes: 'HTTP/1.1 200 OK\r\ncontent-length: 0002\r\n\r\nok',
    status: 200,
    body: 'ok',
  },
  {
    name: 'a body in chunks',
    bytes: `${CHUNKED}2\r\nok\r\n00A\r\n0123456789\r\n0\r\n\r\n`,
    status: 200,
    body: 'ok0123456789',
  },
  { name: 'no chunks', bytes: `${CHUNKED}0\r\n\r\n`, status: 200, body: '' },
  {
    name: 'Chunked in another case',
    bytes: 'HTTP/1.1 200 OK\r\ntransfer-ENCODING:  CHunked \r\n\r\n2\r\nok\r\n0\r\n\r\n',
    status: 200,
    body: 'ok',
  },
  {
    name: 'a chunk size of 16 digits',
    bytes: `${CHUNKED}0000000000000002\r\nok\r\n0000000000000000\r\n\r\n`,
    status: 200,
    body: 'ok',
  },
  {
    name: 'chunk extensions',
    bytes: `${CHUNKED}2;a;b=c;d="e \\" \t\xe9"\r\nok\r\n0;last\r\n\r\n`,
    status: 200,
    body: 'ok',
  },
  {
    name: 'a chunk extension of 256 bytes',
    bytes: `${CHUNKED}2;${'e'.repeat(256)}\r\nok\r\n0\r\n\r\n`,
    status: 200,
    body: 'ok',
  },
  {
    name: 'chunk extensions of 16 KiB in all',
    bytes: `${CHUNKED}${`1;${'e'.repeat(256)}\r\nx\r\n`.repeat(64)}0\r\n\r\n`,
    status: 200,
    body: 'x'.repeat(64),
  },
  { name: 'trailers', bytes: `${CHUNKED}2\r\nok\r\n0\r\ndigest: x\r\nb:\r\n\r\n`, status: 200, body: 'ok' },
  {
    name: 'trailers of 16 KiB',
    bytes: `${CHUNKED}2\r\nok\r\n0\r\nx: ${'y'.repeat(16 * 1024 - 7)}\r\n\r\n`,
    status: 200,
    body: 'ok',
  },
  {
    name: 'chunks that look like another response',
    bytes: `${CHUNKED}${OK.length.toString(16)}\r\n${OK}\r\n0\r\n\r\n`,
    status: 200,
    body: OK,
  },
  {
    name: 'a body that ends with the connection',
    bytes: 'HTTP/1.1 200 OK\r\na: b\r\n\r\nanything\r\n\r\n',
    status: 200,
    body: 'anything\r\n\r\n',
    untilClose: true,
  },
  {
    name: 'an empty body that ends with the connection',
    bytes: 'HTTP/1.1 200 OK\r\n\r\n',
    status: 200,
    body: '',
    untilClose: true,
  },
  {
    name: 'HTTP/1.0 without a length',
    bytes: 'HTTP/1.0 200 OK\r\n\r\nok',
    status: 200,
    body: 'ok',
    untilClose: true,
    keepsAlive: false,
  },
  {
    name: 'HTTP/1.0 with a length',
    bytes: 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok',
    status: 200,
    body: 'ok',
    keepsAlive: false,
  },
  {
    name: 'HTTP/1.0 with keep-alive',
    bytes: 'HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok',
    status: 200,
    body: 'ok',
  },
  {
    name: 'connection: close',
    bytes: 'HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 2\r\n\r\nok',
    status: 200,
    body: 'ok',
    keepsAlive: false,
  },
  {
    name: 'close in a list',
    bytes: 'HTTP/1.1 200 OK\r\nconnection: foo, close ,keep-alive\r\ncontent-length: 2\r\n\r\nok',
    status: 200,
    body: 'ok',
    keepsAlive: false,
  },
  {
    name: 'close on another line',
    bytes: 'HTTP/1.1 200 OK\r\nconnection: close\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok',
    status: 200,
    body: 'ok',
    keepsAlive: false,
  },
  {
    name: 'a word that only contains close',
    bytes: 'HTTP/1.1 200 OK\r\nconnection: enclosed\r\ncontent-length: 2\r\n\r\nok',
    status: 200,
    body: 'ok',
  },
  {
    name: 'HEAD with a length',
    method: 'HEAD',
    bytes: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n',
    status: 200,
    body: '',
  },
  { name: 'HEAD with chunked', method: 'HEAD', bytes: CHUNKED, status: 200, body: '' },
  { name: 'HEAD without a length', method: 'HEAD', bytes: 'HTTP/1.1 200 OK\r\n\r\n', status: 200, body: '' },
  { name: '204', bytes: 'HTTP/1.1 204 No Content\r\n\r\n', status: 204, body: '' },
  {
    name: '204 with chunked',
    bytes: 'HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n',
    status: 204,
    body: '',
  },
  { name: '304 with a length', bytes: 'HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n', status: 304, body: '' },
  { name: 'a body behind HEAD', method: 'HEAD', bytes: OK, status: 200, body: '', excess: 2 },
  {
    name: 'a body behind 204',
    bytes: 'HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok',
    status: 204,
    body: '',
    excess: 2,
  },
  {
    name: 'a body behind 304',
    bytes: 'HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\nok',
    status: 304,
    body: '',
    excess: 2,
  },
  { name: 'bytes behind a length', bytes: `${OK}x`, status: 200, body: 'ok', excess: 1 },
  { name: 'another response behind a length', bytes: `${OK}${OK}`, status: 200, body: 'ok', excess: OK.length },
  {
    name: 'bytes behind the last chunk',
    bytes: `${CHUNKED}2\r\nok\r\n0\r\n\r\n\r\n`,
    status: 200,
    body: 'ok',
    excess: 2,
  },
];

function chunked(name: string, rest: string, rule = 5): RefusedCase {
  return { name, bytes: CHUNKED + rest, rule };
}

function head(name: string, lines: string, rule: number): RefusedCase {
  return { name, bytes: `HTTP/1.1 200 OK\r\n${lines}\r\n\r\nok`, rule };
}

function status(name: string, line: string, rule = 1): RefusedCase {
  return { name, bytes: `${line}\r\ncontent-length: 2\r\n\r\nok`, rule };
}

export const REFUSED: readonly RefusedCase[] = [
  { name: 'an SSH banner', bytes: 'SSH-2.0-OpenSSH_9.6\r\n', rule: 1 },
  { name: 'a TLS alert', bytes: '\x15\x03\x01\x00\x02\x02\x46', rule: 1 },
  { name: 'an HTTP/2 preface', bytes: '\x00\x00\x12\x04\x00\x00\x00\x00\x00', rule: 1 },
  { name: 'a body without a head (HTTP/0.9)', bytes: '{"ok":true}', rule: 1 },
  status('an empty line in front', '\r\nHTTP/1.1 200 OK'),
  status('a space in front', ' HTTP/1.1 200 OK'),
  status('a lower-case protocol', 'http/1.1 200 OK'),
  status('HTTP/1.2', 'HTTP/1.2 200 OK'),
  status('HTTP/2.0', 'HTTP/2.0 200 OK'),
  status('HTTP/1.10', 'HTTP/1.10 200 OK'),
  status('HTTP/1', 'HTTP/1 200 OK'),
  status('two spaces before the status', 'HTTP/1.1  200 OK'),
  status('a tab before the status', 'HTTP/1.1\t200 OK'),
  status('a status of two digits', 'HTTP/1.1 20 OK'),
  status('a status of four digits', 'HTTP/1.1 2000 OK'),
  status('a status with a letter', 'HTTP/1.1 2x0 OK'),
  status('a signed status', 'HTTP/1.1 +20 OK'),
  status('no status', 'HTTP/1.1 '),
  status('status 000', 'HTTP/1.1 000 OK'),
  status('status 099', 'HTTP/1.1 099 OK'),
  status('status 600', 'HTTP/1.1 600 OK'),
  status('status 999', 'HTTP/1.1 999 OK'),
  status('a NUL in the reason', 'HTTP/1.1 200 O\0K'),
  status('a bare CR in the reason', 'HTTP/1.1 200 O\rK'),
  status('a DEL in the reason', 'HTTP/1.1 200 O\x7fK'),
  {
    name: 'status 101',
    bytes: 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    rule: 2,
  },
  { name: '33 interim responses', bytes: `${'HTTP/1.1 103 \r\n\r\n'.repeat(33)}${OK}`, rule: 2 },
  { name: 'an interim response with a length', bytes: `HTTP/1.1 103 \r\ncontent-length: 2\r\n\r\n${OK}`, rule: 2 },
  {
    name: 'an interim response that closes',
    bytes: `HTTP/1.1 100 Continue\r\nconnection: close\r\n\r\n${OK}`,
    rule: 2,
  },
  { name: 'an interim response of HTTP/1.0', bytes: `HTTP/1.0 100 Continue\r\n\r\n${OK}`, rule: 2 },
  {
    name: 'an interim response with chunked',
    bytes: `HTTP/1.1 103 \r\ntransfer-encoding: chunked\r\n\r\n${OK}`,
    rule: 2,
  },
  { name: 'bare LF after the status line', bytes: 'HTTP/1.1 200 OK\ncontent-length: 2\r\n\r\nok', rule: 3 },
  head('bare LF after a header', 'a: b\ncontent-length: 2', 3),
  { name: 'bare LF at the end of the head', bytes: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\nok', rule: 3 },
  { name: 'only bare LF', bytes: 'HTTP/1.1 200 OK\ncontent-length: 2\n\nok', rule: 3 },
  head('a bare CR in a value', 'a: b\rc: d\r\ncontent-length: 2', 3),
  head('a line that begins with a bare CR', '\ra: b\r\ncontent-length: 2', 3),
  head('a line of a bare CR', 'content-length: 2\r\n\r', 3),
  head('a NUL in a value', 'a: b\0\r\ncontent-length: 2', 3),
  head('a control character in a value', 'a: b\x01\r\ncontent-length: 2', 3),
  head('a DEL in a value', 'a: b\x7f\r\ncontent-length: 2', 3),
  head('a folded line', 'a: b\r\n c\r\ncontent-length: 2', 3),
  head('a line folded by a tab', 'content-length: 2\r\n\tc', 3),
  head('a folded first line', ' a: b\r\ncontent-length: 2', 3),
  head('a space before the colon', 'content-length : 2', 3),
  head('a tab before the colon', 'a\t: b\r\ncontent-length: 2', 3),
  head('no colon', 'content-length 2', 3),
  head('no name', ': b\r\ncontent-length: 2', 3),
  head('a space in a name', 'a b: c\r\ncontent-length: 2', 3),
  head('a byte above ASCII in a name', 'caf\xe9: c\r\ncontent-length: 2', 3),
  head('a NUL in a name', 'content-length\0: 2', 3),
  { name: 'a head of 16 KiB and a byte', bytes: headOf(16 * 1024 + 1), rule: 3 },
  { name: 'an endless head', bytes: `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(4000)}`, rule: 3 },
  { name: 'an endless line', bytes: `HTTP/1.1 200 ${'y'.repeat(20_000)}`, rule: 3 },
  head('a tab before a length', 'content-length:\t2', 4),
  head('a tab behind a length', 'content-length: 2\t', 4),
  head('a tab behind chunked', 'transfer-encoding: chunked\t', 4),
  head('two lengths', 'content-length: 2\r\ncontent-length: 3', 4),
  head('the same length twice', 'content-length: 2\r\nContent-Length: 2', 4),
  head('two lengths of which one is 0', 'content-length: 0\r\ncontent-length: 2', 4),
  head('a list of lengths', 'content-length: 2, 2', 4),
  head('an empty length', 'content-length:', 4),
  head('a signed length', 'content-length: +2', 4),
  head('a negative length', 'content-length: -2', 4),
  head('a length with a fraction', 'content-length: 2.0', 4),
  head('a length in hex', 'content-length: 0x2', 4),
  head('a length with an exponent', 'content-length: 2e0', 4),
  head('a length with a blank inside', 'content-length: 1 2', 4),
  head('a length above 2^53', 'content-length: 9007199254740992', 4),
  head('a length of 20 digits', 'content-length: 18446744073709551618', 4),
  head('length and chunked', 'content-length: 2\r\ntransfer-encoding: chunked', 4),
  head('chunked and length', 'transfer-encoding: chunked\r\ncontent-length: 2', 4),
  head('chunked twice', 'transfer-encoding: chunked\r\ntransfer-encoding: chunked', 4),
  head('chunked twice on one line', 'transfer-encoding: chunked, chunked', 4),
  head('another coding', 'transfer-encoding: gzip', 4),
  head('another coding before chunked', 'transfer-encoding: gzip, chunked', 4),
  head('identity', 'transfer-encoding: identity', 4),
  head('an empty coding', 'transfer-encoding:', 4),
  head('chunked with a parameter', 'transfer-encoding: chunked;q=1', 4),
  head('chunked with a comma', 'transfer-encoding: ,chunked', 4),
  { name: 'chunked in HTTP/1.0', bytes: 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n', rule: 4 },
  {
    name: 'length and chunked for HEAD',
    method: 'HEAD',
    bytes: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n',
    rule: 4,
  },
  chunked('no chunk size', '\r\nok\r\n0\r\n\r\n'),
  chunked('a chunk size with a prefix', '0x2\r\nok\r\n0\r\n\r\n'),
  chunked('a signed chunk size', '+2\r\nok\r\n0\r\n\r\n'),
  chunked('a negative chunk size', '-2\r\nok\r\n0\r\n\r\n'),
  chunked('a chunk size with a letter', '2g\r\nok\r\n0\r\n\r\n'),
  chunked('a space before a chunk size', ' 2\r\nok\r\n0\r\n\r\n'),
  chunked('a space after a chunk size', '2 \r\nok\r\n0\r\n\r\n'),
  chunked('a chunk size of 17 digits', '00000000000000002\r\nok\r\n0\r\n\r\n'),
  chunked('a chunk size above 2^53', '20000000000000\r\nok\r\n0\r\n\r\n'),
  chunked('a chunk size of 2^64 - 1', 'ffffffffffffffff\r\nok\r\n0\r\n\r\n'),
  chunked('bare LF after a chunk size', '2\nok\r\n0\r\n\r\n'),
  chunked('a bare CR after a chunk size', '2\rok\r\n0\r\n\r\n'),
  chunked('a chunk that is longer than its size', '2\r\nokk\r\n0\r\n\r\n'),
  chunked('a chunk that is shorter than its size', '3\r\nok\r\n0\r\n\r\n'),
  chunked('bare LF after a chunk', '2\r\nok\n0\r\n\r\n'),
  chunked('nothing after a chunk', '2\r\nok0\r\n\r\n'),
  chunked('an empty extension', '2;\r\nok\r\n0\r\n\r\n'),
  chunked('a blank in an extension', '2; a=b\r\nok\r\n0\r\n\r\n'),
  chunked('an open quote in an extension', '2;a="b\r\nok\r\n0\r\n\r\n'),
  chunked('a control character in an extension', '2;a=\x01\r\nok\r\n0\r\n\r\n'),
  chunked('bare LF after an extension', '2;a\nok\r\n0\r\n\r\n'),
  chunked('an extension of 257 bytes', `2;${'e'.repeat(257)}\r\nok\r\n0\r\n\r\n`),
  chunked('chunk extensions of more than 16 KiB in all', `${`1;${'e'.repeat(256)}\r\nx\r\n`.repeat(65)}0\r\n\r\n`),
  chunked('a length as a trailer', '2\r\nok\r\n0\r\ncontent-length: 2\r\n\r\n'),
  chunked('a coding as a trailer', '2\r\nok\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n'),
  chunked('a malformed trailer', '2\r\nok\r\n0\r\nno colon\r\n\r\n', 3),
  chunked('a trailer that begins with a bare CR', '2\r\nok\r\n0\r\n\ra: b\r\n\r\n', 3),
  chunked('a folded trailer', '2\r\nok\r\n0\r\na: b\r\n c\r\n\r\n', 3),
  chunked('bare LF after a trailer', '2\r\nok\r\n0\r\na: b\n\r\n', 3),
  chunked('bare LF after the last chunk', '2\r\nok\r\n0\r\n\n', 3),
  chunked('trailers of more than 16 KiB', `2\r\nok\r\n0\r\n${'a: b\r\n'.repeat(3000)}\r\n`, 3),
  chunked('another response as a trailer', `2\r\nok\r\n0\r\n${OK}`, 3),
];

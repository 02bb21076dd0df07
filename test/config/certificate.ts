import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export interface Issued {
  readonly name: string;
  readonly keys: KeyPair;
  /** PEM texts. */
  readonly cert: string;
  readonly key: string;
}

export interface Wanted {
  /** The common name. */
  readonly name: string;
  /** Itself unless given. */
  readonly issuer?: Issued;
  readonly isCa?: boolean;
  readonly from?: Date;
  readonly to?: Date;
  readonly keys?: KeyPair;
  /** DNS names besides `localhost`. */
  readonly names?: readonly string[];
}

const OID = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  basicConstraints: '2.5.29.19',
  subjectAltName: '2.5.29.17',
};

export function ecKeys(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/** An X.509 certificate for `localhost` and 127.0.0.1 (RFC 5280), valid from 2020 to 2049 unless said otherwise. */
export function issue({ name, issuer, isCa = false, from, to, keys = ecKeys(), names = [] }: Wanted): Issued {
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const body = sequence(
    tagged(0xa0, integer(2)),
    integer(1 + Math.floor(Math.random() * 1_000_000)),
    algorithm,
    distinguishedName(issuer?.name ?? name),
    sequence(time(from ?? new Date('2020-01-01')), time(to ?? new Date('2049-12-31'))),
    distinguishedName(name),
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(basicConstraints(isCa), subjectAltName(names))),
  );
  const signature = sign('sha256', body, (issuer?.keys ?? keys).privateKey);
  const der = sequence(body, algorithm, tagged(0x03, Buffer.from([0]), signature));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    name,
    keys,
    cert: ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n'),
    key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function tagged(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tagged(0x30, ...parts);
}

function integer(value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(value, 1);
  const first = bytes.findIndex((byte, i) => i === 4 || byte !== 0 || (bytes[i + 1] ?? 0) >= 0x80);
  return tagged(0x02, bytes.subarray(first));
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number);
  const bytes = others.flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let rest = arc >> 7; rest > 0; rest >>= 7) groups.unshift((rest & 0x7f) | 0x80);
    return groups;
  });
  return tagged(0x06, Buffer.from([first * 40 + second, ...bytes]));
}

function distinguishedName(name: string): Buffer {
  return sequence(tagged(0x31, sequence(oid(OID.commonName), tagged(0x0c, Buffer.from(name)))));
}

/** Two-digit years up to 2049, four digits from then on (RFC 5280 4.1.2.5). */
function time(date: Date): Buffer {
  const digits = `${date.toISOString().replace(/[-:T]|\..*$/g, '')}Z`;
  const short = date.getUTCFullYear() < 2050;
  return tagged(short ? 0x17 : 0x18, Buffer.from(short ? digits.slice(2) : digits));
}

function basicConstraints(isCa: boolean): Buffer {
  const value = sequence(...(isCa ? [tagged(0x01, Buffer.from([0xff]))] : []));
  return sequence(oid(OID.basicConstraints), tagged(0x01, Buffer.from([0xff])), tagged(0x04, value));
}

function subjectAltName(names: readonly string[]): Buffer {
  const dnsNames = ['localhost', ...names].map((name) => tagged(0x82, Buffer.from(name)));
  const address = tagged(0x87, Buffer.from([127, 0, 0, 1]));
  return sequence(oid(OID.subjectAltName), tagged(0x04, sequence(...dnsNames, address)));
}

import { createHash } from 'node:crypto';
import { type DerivedValue, VALUE_FUNCTIONS, type ValueEncoding, type ValueFunction } from '../providers/sign-rule.ts';
import { type FieldsOf, FieldsText } from './fields.ts';
import { compileKeyed } from './keyed.ts';
import { percentEncoded } from './pairs.ts';
import { type ByteString, fillTemplate, type Lookup, type RequestRead } from './rule-template.ts';
import type { Scope, SignProblem, TextFacts } from './scope.ts';
import { formatTime, timeFormatError, zoneError } from './time-format.ts';

/** What functions read when they are computed. */
export interface Inputs {
  readonly lookup: Lookup;
  readonly fieldsOf: FieldsOf;
  /** Epoch milliseconds. */
  readonly nowMs: number;
}

/** A function with its input and options, ready to be computed. */
export interface CompiledFunction extends TextFacts {
  readonly name: ValueFunction;
  /** Whether its result is encoded text, or bytes. */
  readonly isEncoded: boolean;
  /** The parts of a request that it reads. */
  readonly reads: readonly RequestRead[];
  /** The text that goes in. @throws ProxyError `signature_impossible` */
  readonly input: (inputs: Inputs) => ByteString;
  /** @throws ProxyError `signature_impossible` */
  readonly compute: (inputs: Inputs) => ByteString | Promise<ByteString>;
}

/** A function before its result is encoded. */
interface Parts extends Omit<CompiledFunction, 'name' | 'isEncoded' | 'compute'> {
  /** What it makes of its input. Undefined: the input is the result. */
  readonly operation?: (data: Buffer, inputs: Inputs) => Buffer | Promise<Buffer>;
}

type Path = SignProblem['path'];
type Option = keyof DerivedValue;

/** The options of each function besides `percent`, which all have. */
const OPTIONS: Readonly<Record<ValueFunction, readonly Option[]>> = {
  text: ['encoding'],
  now: ['zone', 'plus'],
  uuid: ['encoding'],
  random: ['encoding'],
  sha256: ['encoding'],
  sha512: ['encoding'],
  hmac_sha256: ['encoding', 'key', 'key_encoding'],
  hmac_sha512: ['encoding', 'key', 'key_encoding'],
  rsa_sha256: ['encoding', 'key'],
  rsa_pss_sha256: ['encoding', 'key'],
  ecdsa_sha256: ['encoding', 'key', 'format'],
  ecdsa_sha512: ['encoding', 'key', 'format'],
  ed25519: ['encoding', 'key'],
  rsa_encrypt: ['encoding', 'key', 'padding'],
  aes_256_cbc: ['encoding', 'key', 'key_encoding', 'iv'],
  fields: ['encoding', 'except', 'sort', 'empty', 'item', 'join'],
};

const REQUIRED_OPTIONS: readonly Option[] = ['key', 'iv', 'padding'];

const MAX_RANDOM_BYTES = 1024;

/** Whether a second attempt sends the same value again: it may be an idempotency key. */
export function isKept({ name }: CompiledFunction): boolean {
  return name === 'uuid' || name === 'random';
}

/** Checks a value. @returns undefined if there is a problem, which is reported */
export function compileFunction(value: DerivedValue, scope: Scope, path: Path): CompiledFunction | undefined {
  const name = functionOf(value, scope, path);
  if (name === undefined || !hasItsOptions(name, value, scope, path)) return undefined;
  const parts = partsOf(name, value, scope, path);
  if (parts === undefined) return undefined;
  const { operation, ...facts } = parts;
  const write = writerOf(name, value);
  const compute = (inputs: Inputs) => {
    const text = facts.input(inputs);
    if (operation === undefined) return write(text);
    const bytes = operation(Buffer.from(text, 'latin1'), inputs);
    return bytes instanceof Promise ? bytes.then(write) : write(bytes);
  };
  const isEncoded = operation !== undefined || value.encoding !== undefined || value.percent === true;
  return { ...facts, name, isEncoded, compute };
}

function functionOf(value: DerivedValue, scope: Scope, path: Path): ValueFunction | undefined {
  const [name, second] = VALUE_FUNCTIONS.filter((each) => value[each] !== undefined);
  if (second !== undefined) {
    scope.problem(
      [...path, second],
      `one value has one function, and this has \`${name ?? ''}\` too; make it two values`,
    );
    return undefined;
  }
  if (name === undefined) {
    scope.problem(path, `has no function; use one of ${VALUE_FUNCTIONS.map((each) => `\`${each}\``).join(', ')}`);
  }
  return name;
}

function hasItsOptions(name: ValueFunction, value: DerivedValue, scope: Scope, path: Path): boolean {
  const allowed: readonly string[] = [name, 'percent', ...OPTIONS[name]];
  const given = Object.entries(value).flatMap(([option, content]) => (content === undefined ? [] : option));
  const others = given.filter((option) => !allowed.includes(option));
  for (const option of others) scope.problem([...path, option], `\`${name}\` has no \`${option}\`; remove it`);
  const missing = REQUIRED_OPTIONS.filter((option) => allowed.includes(option) && value[option] === undefined);
  for (const option of missing) scope.problem(path, `\`${name}\` needs \`${option}\``);
  return others.length === 0 && missing.length === 0;
}

function partsOf(name: ValueFunction, value: DerivedValue, scope: Scope, path: Path): Parts | undefined {
  switch (name) {
    case 'now':
      return timeParts(value, scope, path);
    case 'uuid': {
      const { uuid = 'v4' } = value;
      const operation = (_: Buffer, { nowMs }: Inputs) => uuidBytes(uuid, nowMs, scope.randomBytes(16));
      return { isSecret: false, dependsOnRequest: false, reads: [], input: () => '', operation };
    }
    case 'random': {
      const size = value.random ?? 0;
      if (!Number.isInteger(size) || size < 1 || size > MAX_RANDOM_BYTES) {
        scope.problem([...path, name], `must be a number of bytes from 1 to ${MAX_RANDOM_BYTES}`);
        return undefined;
      }
      // It may be a key.
      return {
        isSecret: true,
        dependsOnRequest: false,
        reads: [],
        input: () => '',
        operation: () => scope.randomBytes(size),
      };
    }
    case 'fields': {
      const fields = FieldsText.compile(value, scope, path);
      if (fields === undefined) return undefined;
      const { reads } = fields;
      const isSecret = reads.some((read) => scope.isSecret(read));
      return { isSecret, dependsOnRequest: true, reads, input: ({ fieldsOf }) => fields.text(fieldsOf) };
    }
    case 'text':
      return templateParts(name, value, scope, path);
    case 'sha256':
    case 'sha512': {
      const parts = templateParts(name, value, scope, path);
      return parts && { ...parts, operation: (data) => createHash(name).update(data).digest() };
    }
    default: {
      const parts = templateParts(name, value, scope, path);
      const operation = compileKeyed(name, value, scope, path);
      return (
        parts && operation && { ...parts, isSecret: true, operation: (data, { lookup }) => operation(data, lookup) }
      );
    }
  }
}

/** A function whose input is a template. */
function templateParts(
  name: Exclude<ValueFunction, 'now' | 'uuid' | 'random' | 'fields'>,
  value: DerivedValue,
  scope: Scope,
  path: Path,
): Parts | undefined {
  const checked = scope.template([...path, name], value[name] ?? '');
  if (checked === undefined) return undefined;
  const { template, isSecret, dependsOnRequest, reads } = checked;
  return { isSecret, dependsOnRequest, reads, input: ({ lookup }) => fillTemplate(template, lookup) };
}

function timeParts({ now = '', zone, plus = 0 }: DerivedValue, scope: Scope, path: Path): Parts | undefined {
  const formatProblem = timeFormatError(now);
  const zoneProblem = zone === undefined ? undefined : zoneError(zone);
  if (formatProblem !== undefined) scope.problem([...path, 'now'], formatProblem);
  if (zoneProblem !== undefined) scope.problem([...path, 'zone'], zoneProblem);
  if (formatProblem !== undefined || zoneProblem !== undefined) return undefined;
  return {
    isSecret: false,
    dependsOnRequest: false,
    reads: [],
    input: ({ nowMs }) => formatTime(nowMs + plus, now, zone),
  };
}

/**
 * RFC 9562 5.4, 5.7.
 * @param bytes 16 random ones, which are changed
 */
function uuidBytes(version: 'v4' | 'v7', nowMs: number, bytes: Buffer): Buffer {
  if (version === 'v7') bytes.writeUIntBE(Math.floor(nowMs), 0, 6);
  bytes.writeUInt8((version === 'v4' ? 0x40 : 0x70) | (bytes.readUInt8(6) & 0x0f), 6);
  bytes.writeUInt8(0x80 | (bytes.readUInt8(8) & 0x3f), 8);
  return bytes;
}

/** How a result is written. Text stays as it is and bytes become base64, unless there is an `encoding`. */
function writerOf(
  name: ValueFunction,
  { encoding, percent }: DerivedValue,
): (result: ByteString | Buffer) => ByteString {
  const write = (result: ByteString | Buffer): ByteString => {
    if (typeof result === 'string') {
      return encoding === undefined ? result : encoded(Buffer.from(result, 'latin1'), encoding);
    }
    if (encoding !== undefined) return encoded(result, encoding);
    if (name === 'uuid') return result.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    return encoded(result, name === 'random' ? 'hex' : 'base64');
  };
  return percent === true ? (result) => percentEncoded(write(result)) : write;
}

function encoded(bytes: Buffer, encoding: ValueEncoding): ByteString {
  return encoding === 'HEX' ? bytes.toString('hex').toUpperCase() : bytes.toString(encoding);
}

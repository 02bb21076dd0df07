import { type NodeReading, readByNode } from './node-reading.ts';
import { everyByte, type Reading, readResponse } from './parser-reading.ts';
import { type GeneratedResponse, generateResponse } from './response-generator.ts';

/** Counts of a differential run. */
export interface DifferentialResult {
  accepted: number;
  /** Ended before they were complete, for both. */
  cutOff: number;
  refusedByBoth: number;
  /** Refused by this client and accepted by Node, by the number of the rule. */
  readonly stricter: Map<number, number>;
  /** What must not be, with the number that generates it again. */
  readonly faults: string[];
}

/** Has this client's parser and Node's client read the same generated responses. */
export async function compareResponses(seed: number, count: number): Promise<DifferentialResult> {
  const result: DifferentialResult = {
    accepted: 0,
    cutOff: 0,
    refusedByBoth: 0,
    stricter: new Map(),
    faults: [],
  };
  for (let number = 0; number < count; number++) {
    const fault = await compareOne(generateResponse(seed, number), result);
    if (fault !== undefined) result.faults.push(`seed ${seed}, response ${number}: ${fault}`);
  }
  return result;
}

/** Compares the two parsers on one response, counts it, and returns a difference. */
async function compareOne(generated: GeneratedResponse, result: DifferentialResult): Promise<string | undefined> {
  const { method, cuts, length, isValid } = generated;
  const bytes = generated.bytes.subarray(0, length);
  const ours = readResponse(method, bytes, cuts);
  const difference = differenceOf(ours, readResponse(method, bytes, everyByte(bytes)));
  if (difference !== undefined) return `byte by byte it differs in ${difference}`;
  if (ours.result === 'refused') {
    if (isValid) return `it is valid and was refused by rule ${ours.rule}`;
    const node = await readByNode(method, piecesOf(bytes, cuts));
    if (!node.isAccepted) result.refusedByBoth += 1;
    else result.stricter.set(ours.rule ?? 0, (result.stricter.get(ours.rule ?? 0) ?? 0) + 1);
    return undefined;
  }
  if (ours.result === 'cut off') {
    if (isValid && length === generated.bytes.length) return 'it is valid and whole, and was taken for cut off';
    const node = await readByNode(method, piecesOf(bytes, cuts));
    result.cutOff += 1;
    return isValid && node.isAccepted ? 'it is valid, and Node does not take it for cut off' : undefined;
  }
  // What follows a complete response is not a part of it.
  result.accepted += 1;
  return disagreement(ours, await readByNode(method, piecesOf(bytes.subarray(0, ours.consumed), cuts)));
}

function disagreement(ours: Reading, node: NodeReading): string | undefined {
  if (!node.isAccepted) return `it was accepted, and Node refuses it (${node.code})`;
  if (node.status !== ours.status) return `its status is ${ours.status}, and ${node.status} for Node`;
  if (node.reason !== ours.reason) return 'its reason is another one for Node';
  if (node.body !== ours.body) return 'its body is another one for Node';
  if (node.headers.join('\n') !== ours.headers.join('\n')) return 'its headers are others for Node';
  return undefined;
}

function differenceOf(one: Reading, other: Reading): string | undefined {
  for (const key of ['result', 'rule', 'status', 'reason', 'body', 'keepsAlive'] as const) {
    if (one[key] !== other[key]) return key;
  }
  if (one.result === 'complete' && one.consumed !== other.consumed) return 'length';
  return one.headers.join('\n') === other.headers.join('\n') ? undefined : 'headers';
}

function piecesOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length];
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end)).filter((piece) => piece.length > 0);
}

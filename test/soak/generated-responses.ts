import { compareResponses } from '../http/client/differential.ts';
import { compareOverSockets } from '../http/client/differential-sockets.ts';
import { newRow, type Row, wrong } from './scenario-result.ts';

export interface GeneratedResponsesOptions {
  /** Responses that this client's parser and Node's client read. */
  readonly count: number;
  /** Responses that this client reads from real connections. */
  readonly overSockets: number;
  readonly seed: number;
}

/** Valid and broken responses: nothing that Node refuses may be accepted, and nothing cut off may look whole. */
export async function generatedResponses({ count, overSockets, seed }: GeneratedResponsesOptions): Promise<Row> {
  const row = newRow('responses', seed);
  const { accepted, cutOff, refusedByBoth, stricter, faults } = await compareResponses(seed, count);
  const strictly = [...stricter].sort(([a], [b]) => a - b);
  row.tried = count + overSockets;
  row.answered = accepted;
  row.survived = cutOff + refusedByBoth + strictly.reduce((sum, [, times]) => sum + times, 0);
  row.notes.push(
    `${accepted} accepted by both, ${cutOff} cut off, ${refusedByBoth} refused by both`,
    `refused here and not by Node: ${strictly.map(([rule, times]) => `${times} by rule ${rule}`).join(', ')}`,
  );
  for (const fault of faults) wrong(row, 'lost', fault);
  const overSocketFaults = await compareOverSockets(seed, overSockets);
  row.survived += overSockets - overSocketFaults.length;
  for (const fault of overSocketFaults) wrong(row, 'lost', `over a connection: ${fault}`);
  return row;
}

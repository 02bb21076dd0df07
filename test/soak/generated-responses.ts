import { compareResponses } from '../http/client/differential.ts';
import { compareOverSockets } from '../http/client/differential-sockets.ts';
import { newResult, recordFailure, type ScenarioResult } from './scenario-result.ts';

export interface GeneratedResponsesOptions {
  /** Responses for both our parser and Node's client. */
  readonly count: number;
  /** Responses that our client reads from real connections. */
  readonly overSockets: number;
  readonly seed: number;
}

/** Valid and broken responses: our client accepts nothing that Node rejects, and reports every truncated response. */
export async function generatedResponses({
  count,
  overSockets,
  seed,
}: GeneratedResponsesOptions): Promise<ScenarioResult> {
  const result = newResult('responses', seed);
  const { accepted, cutOff, refusedByBoth, stricter, faults } = await compareResponses(seed, count);
  const strictly = [...stricter].sort(([a], [b]) => a - b);
  result.tried = count + overSockets;
  result.answered = accepted;
  result.survived = cutOff + refusedByBoth + strictly.reduce((sum, [, times]) => sum + times, 0);
  result.notes.push(
    `${accepted} accepted by both, ${cutOff} truncated, ${refusedByBoth} rejected by both`,
    `rejected only by our client: ${strictly.map(([rule, times]) => `${times} by rule ${rule}`).join(', ')}`,
  );
  for (const fault of faults) recordFailure(result, 'lost', fault);
  const overSocketFaults = await compareOverSockets(seed, overSockets);
  result.survived += overSockets - overSocketFaults.length;
  for (const fault of overSocketFaults) recordFailure(result, 'lost', `over a connection: ${fault}`);
  return result;
}

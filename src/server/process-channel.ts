import type { ProcessSnapshot, RefreshResult, ServingProcess } from '../telemetry/snapshot.ts';
import type { Clock } from '../clock.ts';
import type { RecordedDetails, RecordedRequest } from '../telemetry/recent-requests.ts';

/** What a primary asks one of its workers, by number. */
export interface ProcessCall {
  readonly kind: 'process';
  readonly id: number;
  readonly call: 'snapshot' | 'records' | 'details' | 'refresh';
  readonly args: readonly unknown[];
}

export interface ProcessReply {
  readonly kind: 'process answer';
  readonly id: number;
  readonly result: unknown;
}

/** A worker that gives no answer for so long is left out. A refresh may take as long as a token exchange. */
const TIMEOUT_MS = { snapshot: 1000, records: 1000, details: 1000, refresh: 20_000 };

/** Messages between a primary and its workers are trusted: they are one program. */
export async function answerProcessCall(
  serving: ServingProcess,
  { id, call, args }: ProcessCall,
): Promise<ProcessReply> {
  const run = serving[call].bind(serving) as (...args: readonly unknown[]) => Promise<unknown>;
  return { kind: 'process answer', id, result: await run(...args) };
}

/** A worker as its primary sees it. */
export class ChannelProcess implements ServingProcess {
  readonly pid: number;
  readonly #clock: Clock;
  readonly #send: (call: ProcessCall) => void;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #calls = 0;

  constructor(pid: number, clock: Clock, send: (call: ProcessCall) => void) {
    this.pid = pid;
    this.#clock = clock;
    this.#send = send;
  }

  onAnswer({ id, result }: ProcessReply): void {
    this.#waiting.get(id)?.(result);
  }

  async snapshot(): Promise<ProcessSnapshot> {
    return (await this.#call('snapshot')) as ProcessSnapshot;
  }

  async records(after: number): Promise<readonly RecordedRequest[]> {
    return (await this.#call('records', after)) as RecordedRequest[];
  }

  async details(number: number): Promise<RecordedDetails | undefined> {
    return (await this.#call('details', number)) as RecordedDetails | undefined;
  }

  async refresh(route: string): Promise<RefreshResult> {
    return (await this.#call('refresh', route)) as RefreshResult;
  }

  #call(call: ProcessCall['call'], ...args: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.#calls++;
      const late = this.#clock.after(TIMEOUT_MS[call], () => {
        this.#waiting.delete(id);
        reject(new Error(`worker ${this.pid} did not answer in time`));
      });
      this.#waiting.set(id, (result) => {
        late();
        this.#waiting.delete(id);
        resolve(result);
      });
      this.#send({ kind: 'process', id, call, args });
    });
  }
}

import { Agent as PlainAgent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { readText, sendJson } from '../soak/http-upstream.ts';
import type { Provider, Route } from './provider.ts';
import { PAYER_KEY, type Target } from './target.ts';

const CLIENTS = 2;
const PAUSE_MS = 20;
/** Longer than any attack. A request that takes longer never gets a response. */
const RESPONSE_TIMEOUT_MS = 120_000;

/** Clients that make payments on their own route during an attack. */
export class PayingClients {
  readonly routes: Readonly<Record<string, Route>>;
  readonly #executed = new Map<string, number>();
  #sent = 0;
  #running: Promise<unknown> | undefined;
  #isStopped = false;
  #failures: string[] = [];

  constructor(provider: Provider) {
    provider.on('payments', async (req, res) => {
      const id = await readText(req);
      this.#executed.set(id, (this.#executed.get(id) ?? 0) + 1);
      sendJson(res, 200, { id });
    });
    this.routes = { '/payments/*': provider.route('payments') };
  }

  start(target: Target): void {
    this.#isStopped = false;
    this.#failures = [];
    this.#running = Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        const agent = target.ca === undefined ? new PlainAgent(KEEP_ALIVE) : new TlsAgent(KEEP_ALIVE);
        while (!this.#isStopped && this.#failures.length === 0) {
          await this.#pay(target, agent);
          await delay(PAUSE_MS);
        }
        agent.destroy();
      }),
    );
  }

  /** Stops the clients. @throws Error if a payment was lost, doubled or got the response of another payment */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    if (this.#failures.length > 0) throw new Error(`a payment failed: ${this.#failures.join('; ')}`);
  }

  /** Makes one payment over a new connection. @throws Error if it fails */
  async payOnce(target: Target): Promise<void> {
    this.#failures = [];
    await this.#pay(target);
    if (this.#failures.length > 0) throw new Error(`a payment failed: ${this.#failures.join('; ')}`);
  }

  async #pay(target: Target, agent?: PlainAgent): Promise<void> {
    const id = `payment-${this.#sent++}`;
    const options = { key: PAYER_KEY, body: id, timeoutMs: RESPONSE_TIMEOUT_MS, ...(agent && { agent }) };
    try {
      const { status, text, field } = await target.sendRequest(`/payments/${id}`, options);
      const times = this.#executed.get(id);
      if (status !== 200) this.#failures.push(`${id} got ${status} ${text.slice(0, 200)}`);
      else if (field('id') !== id) this.#failures.push(`${id} got the response to ${String(field('id'))}`);
      else if (times !== 1) this.#failures.push(`${id} was executed ${times ?? 0} times`);
    } catch (error) {
      this.#failures.push(`${id}: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.#executed.delete(id);
  }
}

const KEEP_ALIVE = { keepAlive: true, maxSockets: 1 } as const;

import { Agent as PlainAgent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { sendJson, readText } from '../soak/http-upstream.ts';
import type { Provider, Route } from './provider.ts';
import { PAYER_KEY, type Target } from './target.ts';

const CLIENTS = 2;
const PAUSE_MS = 20;
/** Longer than any attack: a request that takes longer has no response to come. */
const RESPONSE_TIMEOUT_MS = 120_000;

/** Clients that pay through their own route for as long as an attack lasts. */
export class PayingClients {
  readonly routes: Readonly<Record<string, Route>>;
  readonly #executed = new Map<string, number>();
  #sent = 0;
  #running: Promise<unknown> | undefined;
  #stopped = false;
  #faults: string[] = [];

  constructor(provider: Provider) {
    provider.on('honest', async (req, res) => {
      const id = await readText(req);
      this.#executed.set(id, (this.#executed.get(id) ?? 0) + 1);
      sendJson(res, 200, { id });
    });
    this.routes = { '/honest/*': provider.route('honest') };
  }

  start(target: Target): void {
    this.#stopped = false;
    this.#faults = [];
    this.#running = Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        const agent = target.ca === undefined ? new PlainAgent(KEPT_ALIVE) : new TlsAgent(KEPT_ALIVE);
        while (!this.#stopped && this.#faults.length === 0) {
          await this.#pay(target, agent);
          await delay(PAUSE_MS);
        }
        agent.destroy();
      }),
    );
  }

  /** Stops them. @throws Error if a payment was lost, doubled or answered with another's response */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    if (this.#faults.length > 0) throw new Error(`an honest request failed: ${this.#faults.join('; ')}`);
  }

  /** One payment over a connection of its own. @throws Error unless it goes well */
  async payOnce(target: Target): Promise<void> {
    this.#faults = [];
    await this.#pay(target);
    if (this.#faults.length > 0) throw new Error(`an honest request failed: ${this.#faults.join('; ')}`);
  }

  async #pay(target: Target, agent?: PlainAgent): Promise<void> {
    const id = `payment-${this.#sent++}`;
    const asked = { key: PAYER_KEY, body: id, timeoutMs: RESPONSE_TIMEOUT_MS, ...(agent && { agent }) };
    try {
      const { status, text, field } = await target.sendRequest(`/honest/${id}`, asked);
      const times = this.#executed.get(id);
      if (status !== 200) this.#faults.push(`${id} got ${status} ${text.slice(0, 200)}`);
      else if (field('id') !== id) this.#faults.push(`${id} got the response to ${String(field('id'))}`);
      else if (times !== 1) this.#faults.push(`${id} was executed ${times ?? 0} times`);
    } catch (error) {
      this.#faults.push(`${id}: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.#executed.delete(id);
  }
}

const KEPT_ALIVE = { keepAlive: true, maxSockets: 1 } as const;

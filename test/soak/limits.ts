import type { IncomingMessage, ServerResponse } from 'node:http';
import { HttpUpstream, sendJson } from './http-upstream.ts';
import type { ScenarioOptions } from './never-twice.ts';
import { connection } from './payment-client.ts';
import { ProxyChild, writeConfig } from './proxy-child.ts';
import { expectThat, newResult, type ScenarioResult } from './scenario-result.ts';
import { withScope, withTimeout } from './scope.ts';
import { type ReceivedResponse, sendRequest } from './send-request.ts';

const SLOTS = 20;
const RESPONSE_TIMEOUT_MS = 10_000;

/** Holds every request until `respond` is called. */
class Holder {
  readonly #held: ServerResponse[] = [];
  #change: PromiseWithResolvers<undefined> = Promise.withResolvers();

  readonly handle = (req: IncomingMessage, res: ServerResponse): void => {
    req.resume().on('end', () => {
      this.#held.push(res);
      this.#change.resolve(undefined);
      this.#change = Promise.withResolvers();
    });
  };

  async holds(count: number): Promise<void> {
    while (this.#held.length < count) await this.#change.promise;
  }

  respond(): void {
    for (const res of this.#held.splice(0)) sendJson(res, 200, {});
  }
}

/** `count` requests at once for a few slots: as many pass as there are slots, the others get 503 with `Retry-After`. */
export function concurrencyLimit({ count, seed }: ScenarioOptions): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('max_concurrency', seed);
    const holder = new Holder();
    const upstream = await HttpUpstream.start(scope, holder.handle);
    const routes = { '/api/*': upstream.route('key', { max_concurrency: SLOTS }) };
    const proxy = await ProxyChild.start(scope, writeConfig(scope, { routes }));
    for (let round = 0; round < 2; round++) {
      const pending = Array.from({ length: count }, (_, i) => sendRequest(proxy.port, `/api/${i}`, { body: 'pay' }));
      await holder.holds(SLOTS);
      const refused = count - SLOTS;
      const first = await firstResponses(pending, refused);
      holder.respond();
      result.tried += count;
      countRefused(result, first, refused);
      countPassed(result, await Promise.all(pending), SLOTS);
    }
    return result;
  });
}

/** `count` connections at once with a low `max_connections`: the same. */
export function connectionLimit({ count, seed }: ScenarioOptions): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('max_connections', seed);
    const upstream = await HttpUpstream.start(scope, (_, res) => sendJson(res, 200, {}));
    const settings = { max_connections: SLOTS, routes: { '/api/*': upstream.route('key') } };
    const proxy = await ProxyChild.start(scope, writeConfig(scope, settings));
    const idleSockets = proxy.socketCount();
    for (let round = 0; round < 2; round++) {
      const agents = Array.from({ length: count }, () => connection(scope));
      const accepted = agents.slice(0, SLOTS).map((agent) => sendRequest(proxy.port, '/api/x', { agent, body: 'pay' }));
      countPassed(result, await Promise.all(accepted), SLOTS);
      const others = agents.slice(SLOTS).map((agent) => sendRequest(proxy.port, '/api/x', { agent, body: 'pay' }));
      countRefused(result, await Promise.all(others), count - SLOTS);
      result.tried += count;
      for (const agent of agents) agent.destroy();
      const left = await proxy.excessSockets(idleSockets + upstream.sockets.size, 5000);
      expectThat(result, 'leaked', left === 0, `${left} sockets stay open`);
    }
    return result;
  });
}

/** The first `count` responses. */
async function firstResponses(
  pending: readonly Promise<ReceivedResponse>[],
  count: number,
): Promise<ReceivedResponse[]> {
  const first: ReceivedResponse[] = [];
  const { promise, resolve } = Promise.withResolvers<ReceivedResponse[]>();
  if (count === 0) return first;
  for (const one of pending) {
    const add = (got: ReceivedResponse) => {
      if (first.push(got) === count) resolve(first);
    };
    one.then(add, () => undefined);
  }
  return withTimeout(promise, RESPONSE_TIMEOUT_MS, 'the refusals');
}

function countRefused(result: ScenarioResult, responses: readonly ReceivedResponse[], count: number): void {
  const refused = responses.filter(
    ({ status, headers, field }) =>
      status === 503 && Number(headers['retry-after']) >= 1 && field('outcome') === 'not_sent',
  );
  result.survived += refused.length;
  expectThat(result, 'lost', refused.length === count, `${refused.length} of ${count} were refused correctly`);
}

function countPassed(result: ScenarioResult, responses: readonly ReceivedResponse[], count: number): void {
  const passed = responses.filter(({ status }) => status === 200).length;
  result.answered += passed;
  expectThat(result, 'lost', passed === count, `${passed} passed, not ${count}`);
}

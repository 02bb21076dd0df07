import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Answer, ask } from './send-request.ts';
import { answer, HttpUpstream } from './http-upstream.ts';
import type { Counted } from './never-twice.ts';
import { connection } from './payment-client.ts';
import { configIn, ProxyChild } from './proxy-child.ts';
import { must, newRow, type Row } from './scenario-result.ts';
import { inTime, within } from './scope.ts';

const PLACES = 20;
const IN_TIME_MS = 10_000;

/** Holds every request until it is let go. */
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

  letGo(): void {
    for (const res of this.#held.splice(0)) answer(res, 200, {});
  }
}

/** `count` requests at once, for a few places: as many pass as there are places, the others are told to come back. */
export function concurrencyLimit({ count, seed }: Counted): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('max_concurrency', seed);
    const holder = new Holder();
    const upstream = await HttpUpstream.start(scope, holder.handle);
    const routes = { '/api/*': upstream.route('key', { max_concurrency: PLACES }) };
    const proxy = await ProxyChild.start(scope, configIn(scope, { routes }));
    for (let round = 0; round < 2; round++) {
      const asking = Array.from({ length: count }, (_, i) => ask(proxy.port, `/api/${i}`, { body: 'pay' }));
      await holder.holds(PLACES);
      const refused = count - PLACES;
      const first = await settledFirst(asking, refused);
      holder.letGo();
      row.tried += count;
      countRefused(row, first, refused);
      countPassed(row, await Promise.all(asking), PLACES);
    }
    return row;
  });
}

/** `count` connections at once, for a few: the same. */
export function connectionLimit({ count, seed }: Counted): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('max_connections', seed);
    const upstream = await HttpUpstream.start(scope, (_, res) => answer(res, 200, {}));
    const settings = { max_connections: PLACES, routes: { '/api/*': upstream.route('key') } };
    const proxy = await ProxyChild.start(scope, configIn(scope, settings));
    const atRest = proxy.sockets();
    for (let round = 0; round < 2; round++) {
      const agents = Array.from({ length: count }, () => connection(scope));
      const agreed = agents.slice(0, PLACES).map((agent) => ask(proxy.port, '/api/x', { agent, body: 'pay' }));
      countPassed(row, await Promise.all(agreed), PLACES);
      const others = agents.slice(PLACES).map((agent) => ask(proxy.port, '/api/x', { agent, body: 'pay' }));
      countRefused(row, await Promise.all(others), count - PLACES);
      row.tried += count;
      for (const agent of agents) agent.destroy();
      const left = await proxy.socketsOver(atRest + upstream.sockets.size, 5000);
      must(row, 'leaked', left === 0, `${left} sockets stay open`);
    }
    return row;
  });
}

/** The first `count` answers that come. */
async function settledFirst(asking: readonly Promise<Answer>[], count: number): Promise<Answer[]> {
  const first: Answer[] = [];
  const { promise, resolve } = Promise.withResolvers<Answer[]>();
  if (count === 0) return first;
  for (const one of asking) {
    const add = (got: Answer) => {
      if (first.push(got) === count) resolve(first);
    };
    one.then(add, () => undefined);
  }
  return inTime(promise, IN_TIME_MS, 'refusing');
}

function countRefused(row: Row, answers: readonly Answer[], count: number): void {
  const refused = answers.filter(
    ({ status, headers, field }) =>
      status === 503 && Number(headers['retry-after']) >= 1 && field('outcome') === 'not_sent',
  );
  row.survived += refused.length;
  must(row, 'lost', refused.length === count, `${refused.length} of ${count} were refused as they should be`);
}

function countPassed(row: Row, answers: readonly Answer[], count: number): void {
  const passed = answers.filter(({ status }) => status === 200).length;
  row.answered += passed;
  must(row, 'lost', passed === count, `${passed} passed, not ${count}`);
}

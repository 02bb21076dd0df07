import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { CallFailed, cashIn, cashInsOf, transaction } from './paypack.js';

// Replace with your database: the payment of each order.
const orders = new Map();

/** POST /orders/ID/payment with {amount, number}: requests the payment once, however often it is called. */
async function start(id, { amount, number }) {
  const known = await look(id);
  if (known !== undefined && known.state !== 'failed') return known;
  const key = randomUUID().replaceAll('-', '');
  const order = { id, amount, number, key, since: new Date(), state: 'unknown' };
  orders.set(id, order); // before the call, so that a crash cannot start the payment twice
  try {
    const { ref } = await cashIn(order);
    return Object.assign(order, { state: 'pending', ref });
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    return Object.assign(order, { state: error.outcome === 'unknown' ? 'unknown' : 'failed', reason: error.message });
  }
}

/** GET /orders/ID/payment: the state of the payment. */
async function look(id) {
  const order = orders.get(id);
  if (order?.state === 'unknown') {
    // The response was lost, so search for the payment at Paypack. A second payment could take the money twice.
    const refs = new Set(Array.from(orders.values(), ({ ref }) => ref));
    const lost = (await cashInsOf(order.number)).find(
      (one) => !refs.has(one.ref) && one.amount === order.amount && new Date(one.created_at) >= order.since - 60_000,
    );
    if (lost !== undefined) Object.assign(order, { state: 'pending', ref: lost.ref });
  }
  if (order?.state === 'pending') order.state = (await transaction(order.ref)).status;
  return order;
}

const STATUS = { pending: 202, unknown: 202, failed: 502 };

const server = createServer(async (req, res) => {
  const send = (status, body) => {
    res.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
  };
  const [, id] = /^\/orders\/(\w{1,32})\/payment$/.exec(req.url) ?? [];
  try {
    const order = id && (req.method === 'POST' ? await start(id, await json(req)) : await look(id));
    if (order === undefined) send(404, { error: 'no such order' });
    else send(STATUS[order.state] ?? 200, order);
  } catch (error) {
    console.error(error);
    send(500, { error: 'internal error; request the state of the order' });
  }
});

const { HOST = '127.0.0.1', PORT = '3000' } = process.env;
server.listen(Number(PORT), HOST, () => console.log(`http://${HOST}:${server.address().port}`));
process.once('SIGTERM', () => server.close());

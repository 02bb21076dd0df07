import { randomUUID } from 'node:crypto';
import express from 'express';
import { CallFailed, stateOf, stkPush, stkResult } from './mpesa.js';

// Replace with your database: the orders, and the order of each callback.
const orders = new Map();
const callbacks = new Map();

const app = express();
app.use(express.json());

/** Requests the payment once, however often the button is pressed. */
app.post('/orders/:id/pay', async (req, res) => {
  const { id } = req.params;
  const known = orders.get(id);
  if (known !== undefined && known.state !== 'failed') return res.status(202).json(known);
  const order = { id, phone: req.body.phone, amount: req.body.amount, state: 'unknown' };
  const secret = randomUUID();
  orders.set(id, order); // before the call, so that a crash cannot start the payment twice
  callbacks.set(secret, order);
  try {
    order.checkoutRequestId = await stkPush({ ...order, secret });
    if (order.state === 'unknown') order.state = 'pending'; // the callback may have arrived first
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    // After `unknown`, wait for the callback. A second push could take the money twice.
    if (error.outcome !== 'unknown') order.state = 'failed';
    order.reason = error.message;
  }
  res.status(order.state === 'failed' ? 502 : 202).json(order);
});

/** The state of an order. Callbacks can get lost, so the result of a pending order is requested. */
app.get('/orders/:id', async (req, res) => {
  const order = orders.get(req.params.id);
  if (order === undefined) return res.status(404).json({ error: 'no such order' });
  if (order.state === 'pending') order.state = (await stkResult(order.checkoutRequestId)) ?? order.state;
  res.json(order);
});

/** The callback of M-Pesa. It does not pass through Wakala. */
app.post('/callbacks/mpesa/:secret', (req, res) => {
  const order = callbacks.get(req.params.secret);
  if (order === undefined) return res.status(404).end();
  const { CheckoutRequestID, ResultCode } = req.body.Body.stkCallback;
  order.checkoutRequestId ??= CheckoutRequestID;
  order.state = stateOf(ResultCode) ?? order.state;
  res.json({ ResultCode: 0, ResultDesc: 'Accepted' });
});

const { HOST = '127.0.0.1', PORT = '3000' } = process.env;
const server = app.listen(Number(PORT), HOST, () => console.log(`http://${HOST}:${PORT}`));
process.once('SIGTERM', () => server.close());

import { Hono } from 'hono';
import { type EmulatorEnv, send } from './http.ts';
import { addC2b } from './mpesa-c2b.ts';
import { darajaError } from './mpesa-fields.ts';
import { addCommands } from './mpesa-results.ts';
import { addStkPush } from './mpesa-stk.ts';
import type { ProviderEmulator } from './special.ts';

/** Safaricom Daraja. Everything it accepts succeeds after the callback delay, and the callback really comes. */
export const mpesa: ProviderEmulator = {
  does:
    'has STK push and its query, C2B, B2C, B2B, balance, status and reversal. Results and confirmations go to the callback ' +
    'addresses of the call after half a second. A new token kills the former one.',
  singleToken: true,
  // C2B has a code of its own for a dead token; all else answers like STK.
  deadAnswer: (path) =>
    path.startsWith('/mpesa/c2b/')
      ? {
          status: 400,
          body: { requestId: '11728-2929992-1', errorCode: '400.003.01', errorMessage: 'Invalid Access Token' },
        }
      : undefined,
  malformedAnswer: (reason, random) =>
    reason.includes('grant_type')
      ? darajaError(random, '400.008.02', 'Invalid grant type passed')
      : darajaError(random, '400.008.01', 'Invalid Authentication passed'),
  firewall: (headers) =>
    headers.has('user-agent')
      ? undefined
      : new Response('<!doctype html><title>Request Rejected</title>The requested URL was rejected.', {
          status: 403,
          headers: { 'content-type': 'text/html' },
        }),
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    addStkPush(app, context);
    addC2b(app, context);
    addCommands(app, context);
    app.all('*', (c) => send(c, darajaError(context.random, '404.001.01', 'Resource not found')));
    return app;
  },
};

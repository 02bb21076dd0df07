// The floor under any node client: undici's dispatch alone, in a closed loop. Prints CPU microseconds per request.
import { Pool } from '../../node_modules/undici/index.js'; // wakala's own, not a peer's
import { authorization, upstream } from './settings.mjs';

const SECONDS = Number(process.env.SECONDS);
const WARM_UP_S = 1;
const pool = new Pool(upstream, { allowH2: false, pipelining: 1 });
const headers = ['host', new URL(upstream).host, 'authorization', authorization];
let requests = 0;

class Handler {
  onRequestStart() {}
  onResponseStart() {}
  onResponseData() {}
  onResponseEnd() {
    requests += 1;
    send();
  }
  onResponseError(_controller, error) {
    throw error;
  }
}

function send() {
  pool.dispatch({ method: 'GET', path: '/small', headers }, new Handler());
}

for (let i = 0; i < 32; i++) send();
setTimeout(() => {
  const before = { requests, cpu: process.cpuUsage() };
  setTimeout(() => {
    const { user, system } = process.cpuUsage(before.cpu);
    process.stdout.write(JSON.stringify({ cpuUs: (user + system) / (requests - before.requests) }));
    process.exit(0);
  }, SECONDS * 1000);
}, WARM_UP_S * 1000);

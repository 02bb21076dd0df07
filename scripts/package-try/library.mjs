// An app that depends on the package. Its argument is the URL of an emulated Paypack.
import { once } from 'node:events';
import http from 'node:http';
import { createRequire } from 'node:module';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { ConfigError, createWakala } from 'wakala';
import { wakala } from 'wakala/hono';

const [upstream] = process.argv.slice(2);
const credentials = { client_id: 'emulated-paypack-client-id', client_secret: 'emulated-paypack-client-secret' };
const config = { routes: { '/paypack/*': { provider: 'paypack', upstream, credentials } } };

async function tokenThrough(listener) {
  const server = http.createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const response = await fetch(`http://127.0.0.1:${server.address().port}/paypack/transactions/cashin`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"amount":100,"number":"0780000001"}',
  });
  await response.text();
  server.closeAllConnections();
  server.close();
  return response.headers.get('wakala-token');
}

function nameOfThrown(options) {
  try {
    createWakala(options);
    return 'nothing';
  } catch (error) {
    return error instanceof ConfigError ? error.name : String(error);
  }
}

const plain = createWakala({ config });
const mounted = createWakala({ config });
const app = new Hono().use(wakala(mounted));
const results = [
  `node:http: ${await tokenThrough(plain.handler)}`,
  `hono: ${await tokenThrough(getRequestListener(app.fetch))}`,
  `a bad configuration: ${nameOfThrown({ config: { routes: {} } })}`,
];
await plain.close();
await mounted.close();
// The package exports the schema for editors.
createRequire(import.meta.url)('wakala/proxy.config.schema.json');
console.log(results.join(', '));

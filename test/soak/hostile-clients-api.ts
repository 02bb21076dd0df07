import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Provider } from '../attacks/provider.ts';
import { readText, sendJson } from './http-upstream.ts';
import type { Ledger } from './ledger.ts';

const LARGE = 'x'.repeat(1024 * 1024);
const DRIP_MS = 50;

/** An API for payments below `/pay/`, and for the requests of hostile clients. The API itself is well-behaved. */
export function serveHostileClientsApi(provider: Provider, ledger: Ledger): void {
  provider.on('api', async (req, res) => {
    const [, , call = '', id = ''] = (req.url ?? '').split(/[/?]/);
    if (call === 'pay') await onPayment(req, res, id, ledger);
    else await onHostileRequest(req, res, call);
  });
  provider.onUpgrade('api', (req, socket) => onUpgrade(req, socket));
}

async function onPayment(req: IncomingMessage, res: ServerResponse, id: string, ledger: Ledger): Promise<void> {
  ledger.count(id, 'received');
  const body = await readText(req);
  if (!body.includes(`"id":"${id}"`)) ledger.mixedUp += 1;
  ledger.count(id, 'executed');
  sendJson(res, 200, { id });
}

async function onHostileRequest(req: IncomingMessage, res: ServerResponse, call: string): Promise<void> {
  await readText(req);
  switch (call) {
    case 'slow':
      await delay(150);
      sendJson(res, 200, {});
      break;
    case 'large':
      sendJson(res, 200, { pad: LARGE });
      break;
    case 'endless':
      while (!res.destroyed) {
        res.write('drip');
        await delay(DRIP_MS);
      }
      break;
    case 'drops':
      res.writeHead(200, { 'content-length': 1000 });
      res.write('half');
      await delay(5);
      res.destroy();
      break;
    case 'refused':
      sendJson(res, 401, {});
      break;
    default:
      sendJson(res, 200, {});
  }
}

function onUpgrade({ url = '' }: IncomingMessage, socket: Duplex): void {
  if (url.includes('/silent')) return;
  if (!url.includes('/opens')) {
    socket.end(`HTTP/1.1 403 Forbidden\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n${'x'.repeat(200_000)}`);
    return;
  }
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  // Read everything, and keep this side open after the other side was closed.
  socket.resume();
  const dripping = setInterval(() => socket.write('drip'), DRIP_MS);
  socket.on('close', () => clearInterval(dripping));
}

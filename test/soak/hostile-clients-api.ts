import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Provider } from '../attacks/provider.ts';
import { answer, textOf } from './http-upstream.ts';
import type { Ledger } from './ledger.ts';

const LARGE = 'x'.repeat(1024 * 1024);
const DRIP_MS = 50;

/** An API for honest payments below `/pay/`, and for all that strangers ask for. It keeps to every rule itself. */
export function strangersApi(provider: Provider, ledger: Ledger): void {
  provider.on('api', async (req, res) => {
    const [, , call = '', id = ''] = (req.url ?? '').split(/[/?]/);
    if (call === 'pay') await onPayment(req, res, id, ledger);
    else await onStranger(req, res, call);
  });
  provider.onUpgrade('api', (req, socket) => onUpgrade(req, socket));
}

async function onPayment(req: IncomingMessage, res: ServerResponse, id: string, ledger: Ledger): Promise<void> {
  ledger.count(id, 'sighted');
  const body = await textOf(req);
  if (!body.includes(`"id":"${id}"`)) ledger.mixedUp += 1;
  ledger.count(id, 'executed');
  answer(res, 200, { id });
}

async function onStranger(req: IncomingMessage, res: ServerResponse, call: string): Promise<void> {
  await textOf(req);
  switch (call) {
    case 'slow':
      await delay(150);
      answer(res, 200, {});
      break;
    case 'large':
      answer(res, 200, { pad: LARGE });
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
      answer(res, 401, {});
      break;
    default:
      answer(res, 200, {});
  }
}

function onUpgrade({ url = '' }: IncomingMessage, socket: Duplex): void {
  if (url.includes('/silent')) return;
  if (!url.includes('/opens')) {
    socket.end(`HTTP/1.1 403 Forbidden\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n${'x'.repeat(200_000)}`);
    return;
  }
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  // It reads, and keeps its own side open when the other one is closed.
  socket.resume();
  const dripping = setInterval(() => socket.write('drip'), DRIP_MS);
  socket.on('close', () => clearInterval(dripping));
}

import { lookup, type LookupAddress } from 'node:dns';
import { describe, expect, it, vi } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { startProxy } from '../support/proxy-server.ts';
import { reply } from '../support/upstream-raw.ts';
import { startAdmin } from './running-admin.ts';

vi.mock('node:dns', async (original) => ({ ...(await original<object>()), lookup: vi.fn() }));

type Done = (error: null, addresses: LookupAddress[]) => void;

describe('a route to a host that resolves to an admin listener', () => {
  it.each(['admin.test', 'a.localhost', 'localhost'])('is refused: %s', async (name) => {
    vi.mocked(lookup).mockImplementation(((_name: string, _options: unknown, done: Done) => {
      done(null, [{ address: '127.0.0.1', family: 4 }]);
    }) as unknown as typeof lookup);
    const { port } = await startAdmin(() => reply(200), { emulated: false });
    const key = { provider: 'static', upstream: `http://${name}:${port}`, credentials: { token: 'made-up-key' } };
    const proxy = await startProxy({ routes: { '/key/*': key } });
    for (const path of ['/metrics', '/api/routes', '/api/requests', '/', '/readyz']) {
      const response = await sendRequest(proxy.port, `/key${path}`);
      expect([path, response.status, response.json()['code']]).toEqual([path, 508, 'loop_detected']);
    }
  });
});

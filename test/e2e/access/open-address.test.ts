import { describe, expect, it } from 'vitest';
import { configFile, runCli } from '../../support/proxy-process.ts';

const ROUTES = { '/mpesa/*': { provider: 'mpesa', credentials: { consumer_key: 'k', consumer_secret: 's' } } };

describe('on an address that other machines can reach', { timeout: 60_000 }, () => {
  it.each(['0.0.0.0:0', '[::]:0', '192.0.2.1:0'])(
    '%s, wakala does not start without `clients` or `open`',
    async (listen) => {
      const { code, stderr } = await runCli(['serve', '-c', configFile({ listen, admin: false, routes: ROUTES })]);
      expect(code).toBe(3);
      expect(stderr).toMatch(/^\S+proxy\.config\.yaml:1:\d+: listen: anyone who can reach/);
      for (const remedy of ['clients', 'client_ca', 'open: true', '127.0.0.1']) expect(stderr).toContain(remedy);
      expect(stderr).not.toContain('"ready"');
    },
  );

  it('wakala does not start if the address comes from the command line', async () => {
    const file = configFile({ listen: '127.0.0.1:0', admin: false, routes: ROUTES });
    const { code, stderr } = await runCli(['serve', '-c', file, '--listen', '0.0.0.0:0']);
    expect(code).toBe(3);
    expect(stderr).toContain('anyone who can reach');
  });

  it('wakala does not start with both `clients` and `open`', async () => {
    const clients = [{ name: 'shop', key: 'shop-key-0123456789' }];
    const file = configFile({ listen: '0.0.0.0:0', admin: false, routes: ROUTES, clients, open: true });
    const { code, stderr } = await runCli(['serve', '-c', file]);
    expect(code).toBe(3);
    expect(stderr).toContain('contradicts');
    expect(stderr).not.toContain('shop-key-0123456789');
  });
});

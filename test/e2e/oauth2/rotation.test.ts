import { describe, expect, it } from 'vitest';
import { sendRequest } from '../../support/proxy-client.ts';
import { startProxy } from '../../support/proxy-server.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { expectNoSecret } from '../../support/token-fakes.ts';
import { hasTool } from '../../support/tools.ts';
import { PATIENT } from '../../tokens/store/provider.ts';
import { CLIENT_ID, scriptedServer, SECRET } from './servers.ts';

const KEY = 'an encryption key for tests, long enough';

/** A token server that accepts each refresh token once. Its access tokens live too short to be shared. */
async function rotatingServer(given: string) {
  let valid: string | undefined = given;
  let count = 0;
  const server = await scriptedServer(({ form }) => {
    const { refresh_token: refreshToken } = Object.fromEntries(form);
    if (refreshToken !== valid) {
      valid = undefined;
      return { status: 400, json: { error: 'invalid_grant' } };
    }
    count += 1;
    valid = `refresh-made-up-${count}`;
    return { json: { access_token: `token-${count}`, expires_in: 1, refresh_token: valid } };
  });
  const sent = () => server.arrived.map(({ form }) => Object.fromEntries(form)['refresh_token']);
  return { endpoint: `${server.origin}/token`, sent };
}

describe.runIf(hasTool('redis-server'))('a refresh token that the server rotates', { timeout: 60_000 }, () => {
  it('is kept in Redis for all replicas and after a restart of all', async () => {
    const redis = await RedisServer.start();
    const { endpoint, sent } = await rotatingServer('given-made-up');
    const api = await scriptedServer(() => ({ json: {} }));
    const replica = () =>
      startProxy(
        {
          token_store: { redis: redis.url, encryption_key: KEY },
          routes: {
            '/bank/*': {
              provider: 'oauth2',
              upstream: api.origin,
              credentials: { client_id: CLIENT_ID, client_secret: SECRET },
              oauth2: { token_endpoint: endpoint, refresh_token: 'given-made-up' },
            },
          },
        },
        PATIENT,
      );
    const [one, two] = [await replica(), await replica()];
    for (const { port } of [one, two, await replica(), await replica()]) {
      expect((await sendRequest(port, '/bank/x')).status).toBe(200);
    }
    expect(sent()).toEqual(['given-made-up', 'refresh-made-up-1', 'refresh-made-up-2', 'refresh-made-up-3']);
    const keys = (await redis.ask('KEYS *:refresh}:token')).split('\r\n').filter((line) => line.startsWith('wakala'));
    expect(keys).toHaveLength(1);
    const stored = await redis.ask(`GET ${keys[0]}`);
    expectNoSecret([stored, one.logText(), two.logText()], ...sent().map(String), 'refresh-made-up-4');
  });
});

import { describe, expect, it } from 'vitest';
import { startProxyTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { chunk, RawUpstream, reply } from '../support/upstream-raw.ts';

const LENGTH = 300_000;
const CHUNKED = `HTTP/1.1 413 As Scripted\r\ntransfer-encoding: chunked\r\n\r\n${chunk('large').toString()}0\r\n\r\n`;

/** A client that has sent two thirds of a streamed upload, and an upstream that responds to its head. */
async function upload(response: Buffer | string, ...lines: string[]) {
  const upstream = await RawUpstream.start(({ target }) => (target === '/next' ? reply(200, 'next') : response), {
    respondsAt: 'head',
  });
  const proxy = await startProxyTo(upstream, { replay_limit: 4 });
  const client = await RawClient.open(proxy.port);
  client.send(
    ['POST /api/pay HTTP/1.1', 'Host: localhost', `Content-Length: ${LENGTH}`, ...lines, '', ''].join('\r\n'),
  );
  client.send(Buffer.alloc((LENGTH / 3) * 2, 'x'));
  return { client, proxy };
}

describe('a response before the client has sent its complete body', () => {
  it.each([
    ['without a body', reply(413), ''],
    ['with a small body', reply(413, 'large'), 'large'],
    ['in chunks', CHUNKED, 'large'],
    ['with a long body', reply(413, 'x'.repeat(100_000)), 'x'.repeat(100_000)],
  ])('arrives completely and at once, and the connection carries the next request: %s', async (_, response, body) => {
    const { client } = await upload(response);
    const received = await client.nextResponse();
    expect([received.status, received.body.toString()]).toEqual([413, body]);
    client.send(Buffer.alloc(LENGTH / 3, 'x'));
    client.send('GET /api/next HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect((await client.nextResponse()).body.toString()).toBe('next');
  });

  it.each([
    ['without a body', reply(204), 204],
    ['with a body', reply(413, 'large'), 413],
  ])('arrives completely if the connection closes after it: %s', async (_, response, status) => {
    const { client } = await upload(response, 'Connection: close');
    expect(await client.nextResponse()).toMatchObject({ status });
    client.send(Buffer.alloc(LENGTH / 3, 'x'));
    expect(await client.ending).toBe('clean');
  });

  it('closes the connection of a client that does not finish its body', async () => {
    const { client, proxy } = await upload(reply(413));
    expect(await client.nextResponse()).toMatchObject({ status: 413 });
    await client.ending;
    expect(proxy.logText()).not.toContain('client left');
  });
});

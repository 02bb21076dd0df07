import { describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { benchForFile } from './support/bench.ts';
import { exchange, expectAccepted, expectRefusal, type Refused, request, SMUGGLED } from './support/request-case.ts';

const bench = benchForFile();

const REFUSED: Refused[] = [
  { name: 'TRACE', bytes: request('TRACE /api/x', 'Cookie: client-canary'), expected: '405 method_not_allowed' },
  { name: 'CONNECT with an authority', bytes: request('CONNECT evil.example:443'), expected: '405 method_not_allowed' },
  {
    name: 'CONNECT with its own authority',
    bytes: request('CONNECT localhost:80'),
    expected: '405 method_not_allowed',
  },
  {
    name: 'CONNECT with bytes for the tunnel',
    bytes: request('CONNECT evil.example:443') + SMUGGLED,
    expected: '405 method_not_allowed',
  },
  ...['CONNECT /api/x', 'CONNECT *', 'CONNECT http://evil.example/'].map((start) => ({
    name: start,
    bytes: request(start),
    expected: '405 method_not_allowed',
  })),
  ...[
    'get',
    'Get',
    'post',
    'GETT',
    'GE',
    'G',
    'FOO',
    'POST-',
    'GET_',
    'G\0T',
    'G\xc9T',
    '(GET)',
    '"GET"',
    'M'.repeat(300),
    'M'.repeat(100_000),
  ].map((method) => ({
    name: `the method ${method.slice(0, 10)} of ${method.length} characters`,
    bytes: request(`${method} /api/x`),
    expected: '400 bad_request',
  })),
];

describe('a method that is not forwarded', () => {
  it.each(REFUSED)('is refused and sends nothing: $name', async (row) => {
    await expectRefusal(bench(), row);
  });
});

describe('any other method', () => {
  it.each([
    'GET',
    'POST',
    'PUT',
    'PATCH',
    'DELETE',
    'OPTIONS',
    'PURGE',
    'PROPFIND',
    'REPORT',
    'LINK',
    'M-SEARCH',
    'QUERY',
  ])('is sent once with its body: %s', async (method) => {
    const bytes = request(`${method} /api/x`, 'Content-Length: 4') + 'body';
    await expectAccepted(bench(), { name: method, bytes, expected: { sent: `${method} /api/x`, body: 'body' } });
  });

  it.each(['GET', 'DELETE', 'OPTIONS', 'PURGE'])('is sent once without a body: %s', async (method) => {
    await expectAccepted(bench(), {
      name: method,
      bytes: request(`${method} /api/x`),
      expected: { sent: `${method} /api/x`, headers: { 'transfer-encoding': [] } },
    });
  });

  it('as HEAD is sent once and gets no body', async () => {
    const { responses, client } = await exchange(bench(), request('HEAD /api/x'), 1);
    expect(responses[0]!.status).toBe(200);
    expect(client.received.toString('latin1')).toMatch(/\r\n\r\n$/);
    expect(bench().forwarded()).toEqual(['HEAD /base/api/x']);
  });
});

describe('an expectation', () => {
  it.each(['100-continue', '100-Continue', '100-CONTINUE'])(
    'of %s gets its response from Wakala and is not forwarded',
    async (value) => {
      bench().upstream.forget();
      const client = await RawClient.open(bench().port);
      client.send(request('POST /api/x', 'Content-Length: 4', `Expect: ${value}`));
      expect((await client.nextResponse()).status).toBe(100);
      expect(bench().forwarded()).toEqual([]);
      client.send('body');
      expect((await client.nextResponse()).status).toBe(200);
      expect(bench().forwarded()).toEqual(['POST /base/api/x']);
      await bench().expectAlive();
      bench().expectClean(client.received);
    },
  );

  it.each([
    ['a body that is there already', request('POST /api/x', 'Content-Length: 4', 'Expect: 100-continue') + 'body'],
    [
      'chunks that are there already',
      request('POST /api/x', 'Transfer-Encoding: chunked', 'Expect: 100-continue') + '4\r\nbody\r\n0\r\n\r\n',
    ],
  ])('of 100-continue with %s is sent once, with that body', async (_, bytes) => {
    const { responses } = await exchange(bench(), bytes, 2);
    expect(responses.map(({ status }) => status)).toEqual([100, 200]);
    expect(bench().upstream.requests.map(({ body }) => body.toString())).toContain('body');
    expect(bench().forwarded()).toEqual(['POST /base/api/x']);
  });

  it('of 100-continue on HTTP/1.0 is ignored', async () => {
    const bytes = request('POST /api/x HTTP/1.0', 'Content-Length: 4', 'Expect: 100-continue') + 'body';
    const { responses } = await exchange(bench(), bytes, 1);
    expect([responses[0]!.status, bench().forwarded()]).toEqual([200, ['POST /base/api/x']]);
  });

  it('of 100-continue cannot smuggle the Authorization', async () => {
    const lines = ['Content-Length: 4', 'Expect: 100-continue', 'Authorization: Bearer client-canary'];
    await exchange(bench(), request('POST /api/x', ...lines) + 'body', 2);
    expect(bench().forwarded()).toEqual(['POST /base/api/x']);
  });

  it('of 100-continue for a body above max_body is refused before it is sent', async () => {
    const bytes = request('POST /api/x', 'Content-Length: 99999999', 'Expect: 100-continue');
    await expectRefusal(bench(), { name: 'large', bytes, expected: '413 body_too_large' });
  });

  it('of 100-continue on a refused request is refused, and its body is not read as a request', async () => {
    const lines = [`Content-Length: ${SMUGGLED.length}`, 'Expect: 100-continue'];
    const bytes = request('POST /api/../x', ...lines) + SMUGGLED;
    await expectRefusal(bench(), { name: 'refused', bytes, expected: '400 bad_request_target' });
  });

  it.each(['100-continue, 200-ok', '100-continue;x=y', '"100-continue"'])(
    'of %s, as node reads it, is met',
    async (value) => {
      const bytes = request('POST /api/x', 'Content-Length: 4', `Expect: ${value}`) + 'body';
      await exchange(bench(), bytes, 2);
      expect(bench().forwarded()).toEqual(['POST /base/api/x']);
    },
  );

  it.each(['200-ok', 'x', '100', '100-continued', 'a100-continue'])(
    'of %s gets a 417 and sends nothing',
    async (value) => {
      const bytes = request('POST /api/x', 'Content-Length: 4', `Expect: ${value}`) + 'body';
      await expectRefusal(bench(), { name: value, bytes, expected: '417 expectation_failed' });
    },
  );

  it.each(['GET /api/x', 'GET /nowhere'])('that is empty, or without a body, does not hang: %s', async (start) => {
    bench().upstream.forget();
    const client = await RawClient.open(bench().port);
    client.send(request(start, 'Expect: 100-continue'));
    const first = await client.nextResponse();
    const last = first.status === 100 ? await client.nextResponse() : first;
    expect(last.status).toBe(start === 'GET /api/x' ? 200 : 404);
    await bench().expectAlive();
    bench().expectClean(client.received);
  });
});

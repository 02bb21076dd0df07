import { brotliCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { Redaction } from '../../src/redaction.ts';
import { RecentRequests } from '../../src/telemetry/recent-requests.ts';
import { RequestRecord } from '../../src/telemetry/request-record.ts';

function recordOf(fields: Partial<RequestRecord> = {}): RequestRecord {
  const record = new RequestRecord('request-1', 'POST', []);
  return Object.assign(record, { status: 200, use: 'cached', endedAt: record.startedAt + 12 }, fields);
}

describe('RequestRecord', () => {
  it('keeps bodies only on request, and always counts their bytes', () => {
    const record = recordOf();
    record.onRequestBytes(Buffer.from('{"amount":1}'));
    record.onResponseBytes(Buffer.from('ok'));
    expect([record.requestBytes, record.responseBytes, record.keptBodies()]).toEqual([12, 2, undefined]);
  });

  it('keeps the first 16 KiB of a body in chunks of any size', () => {
    const record = recordOf();
    record.keepBodies();
    for (let i = 0; i < 5; i++) record.onResponseBytes(Buffer.alloc(5000, String(i)));
    const kept = String(record.keptBodies()?.response);
    expect(kept).toBe('0'.repeat(5000) + '1'.repeat(5000) + '2'.repeat(5000) + '3'.repeat(16_384 - 15_000));
    expect(record.responseBytes).toBe(25_000);
  });

  it('does not retain larger buffers than it keeps', () => {
    const record = recordOf();
    record.keepBodies();
    record.onRequestBytes(Buffer.alloc(1024 * 1024).subarray(10, 20));
    expect(record.keptBodies()?.request.buffer.byteLength).toBe(10);
  });

  it('has none of the secrets that were sent with it, and neither has its log line', () => {
    const secret = 'real-token-0123';
    const basic = Buffer.from(`user:${secret}`).toString('base64');
    const record = recordOf({
      ...{ requestId: `id-${secret}`, path: `/pay/${secret}`, query: `?q=${encodeURIComponent(secret)}&p=%72` },
      ...{
        requestHeaders: ['user-agent', `curl ${secret}`, 'content-encoding', 'br'],
        responseHeaders: ['server', basic],
      },
    });
    record.redaction = new Redaction([secret]);
    record.keepBodies();
    record.onRequestBytes(brotliCompressSync(`{"note":"${secret}","amount":1}`));
    record.onResponseBytes(Buffer.from(`{"note":"${secret}","amount":2}`));
    expect(record.redacted(`/pay/${secret}`)).toBe('/pay/[redacted]');
    const requests = new RecentRequests(1);
    requests.add(record);
    for (const [listed] of [requests.since(0), requests.since(0)]) {
      expect([listed?.requestId, listed?.path, listed?.query]).toEqual([
        ...['id-[redacted]', '/pay/[redacted]', '?q=[redacted]&p=%72'],
      ]);
    }
    const details = requests.details(1);
    expect(details?.request.headers).toEqual([
      ['user-agent', 'curl [redacted]'],
      ['content-encoding', 'br'],
    ]);
    expect(details?.response.headers).toEqual([['server', '[redacted]']]);
    expect(JSON.parse(details?.request.body?.text ?? '')).toEqual({ note: '[redacted]', amount: 1 });
    expect(JSON.parse(details?.response.body?.text ?? '')).toEqual({ note: '[redacted]', amount: 2 });
  });

  it('drops the response of the first attempt when a second begins', () => {
    const record = recordOf();
    record.keepBodies();
    record.onAttempt(performance.now());
    record.onResponseBytes(Buffer.from('dead token'));
    record.onAttempt(performance.now());
    record.onResponseBytes(Buffer.from('ok'));
    expect([record.attempts.length, record.responseBytes, String(record.keptBodies()?.response)]).toEqual([2, 2, 'ok']);
  });
});

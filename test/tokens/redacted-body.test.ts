import { describe, expect, it } from 'vitest';
import { redactedBody } from '../../src/tokens/token-response.ts';

const words = (body: string, ...secrets: string[]) => redactedBody(body, secrets);

describe('a redacted response body', () => {
  it('has no secret, wherever and however often it was in the body', () => {
    expect(words('k-123 and k-123k-123: bad s.*[]$&', 'k-123', 's.*[]$&')).toBe(
      '[redacted] and [redacted][redacted]: bad [redacted]',
    );
  });

  it('is not changed by an empty secret', () => {
    expect(words('{"error":"bad"}', '')).toBe('{"error":"bad"}');
  });

  it('is one line without control characters', () => {
    expect(words('a\r\n\tb\0c\u001b[31md\u007fe\u001ff')).toBe('a b c [31md e f');
  });

  it('has at most 300 characters', () => {
    expect(words('x'.repeat(300))).toHaveLength(300);
    expect(words('x'.repeat(301))).toBe('x'.repeat(300));
  });

  it('has no part of a secret that crosses its end', () => {
    expect(words(`${'x'.repeat(295)}s-secret-1`, 's-secret-1')).toBe(`${'x'.repeat(295)}[reda`);
  });

  it.each([
    ['s-123', 's-123-longer'],
    ['s-123-longer', 's-123'],
  ])('has no part of a secret that begins with another (%s, %s)', (...secrets) => {
    expect(words('bad s-123-longer', ...secrets)).toBe('bad [redacted]');
  });

  it.each([
    ['a path', 'r/1?%x', 'no route GET /auth/refresh/r%2F1%3F%25x', 'r%2F1'],
    ['a path in lower case', 'r/1?%x', 'no route GET /auth/refresh/r%2f1%3f%25x', 'r%2f1'],
    ['a form', 'q+r "ü&', 'client_secret=q%2Br+%22%C3%BC%26', 'q%2Br'],
    ['JSON', 'q+r"ü&', JSON.stringify({ got: 'q+r"ü&' }), 'q+r'],
    ['JSON with escaped slashes', 'r/1?%x', '{"message":"bad token r\\/1?%x"}', 'r\\/1'],
    ['HTML', 'q+r"ü&', '<p>q+r&quot;ü&amp;</p>', 'q+r'],
  ])('has no secret in the spelling of %s', (_, secret, body, echo) => {
    expect(body).toContain(echo);
    expect(words(body, secret)).not.toContain(echo);
  });
});

describe('a long secret', () => {
  const secret = Array.from({ length: 100 }, (_, i) => String.fromCharCode(97 + ((i * 7) % 26))).join('');

  it('is redacted if only a first part of at least 32 characters is there', () => {
    expect(words(`got ${secret.slice(0, 31)}!`, secret)).toBe(`got ${secret.slice(0, 31)}!`);
    expect(words(`got ${secret.slice(0, 32)}!`, secret)).toBe('got [redacted]!');
    expect(words(`got ${secret.slice(0, 90)} and ${secret}!`, secret)).toBe('got [redacted] and [redacted]!');
  });
});

describe('a secret after a character that starts an escape', () => {
  it.each([
    ['%41xyz', '41xyz', '%[redacted]'],
    ['\\u0041bc', 'u0041bc', '\\[redacted]'],
    ['a\\\\b', 'a\\\\b', '[redacted]'],
    ['a\\\\\\\\b', 'a\\\\b', '[redacted]'],
    ['100%2541', '%41', '100[redacted]'],
    ['&&#x00041;&amp;b', 'A&b', '&[redacted]'],
  ])('is redacted in %s', (body, secret, shown) => {
    expect(words(body, secret)).toBe(shown);
  });
});

import { describe, expect, it } from 'vitest';
import { redactedBody } from '../../src/tokens/token-response.ts';

const words = (body: string, ...secrets: string[]) => redactedBody({ status: 401, headers: {}, body }, secrets);

describe("a provider's words for the log", () => {
  it('have every secret cut out, wherever and however often it stands', () => {
    expect(words('k-123 and k-123k-123: bad s.*[]$&', 'k-123', 's.*[]$&')).toBe(
      '[redacted] and [redacted][redacted]: bad [redacted]',
    );
  });

  it('are not touched by an empty secret', () => {
    expect(words('{"error":"bad"}', '')).toBe('{"error":"bad"}');
  });

  it('are one line without control characters', () => {
    expect(words('a\r\n\tb\0c\u001b[31md\u007fe\u001ff')).toBe('a b c [31md e f');
  });

  it('are at most 300 characters', () => {
    expect(words('x'.repeat(300))).toHaveLength(300);
    expect(words('x'.repeat(301))).toBe('x'.repeat(300));
  });

  it('have a secret cut out that reaches over their end', () => {
    expect(words(`${'x'.repeat(295)}s-secret-1`, 's-secret-1')).toBe(`${'x'.repeat(295)}[reda`);
  });

  it.each([
    ['s-123', 's-123-longer'],
    ['s-123-longer', 's-123'],
  ])('have a secret cut out whole that begins with another (%s, %s)', (...secrets) => {
    expect(words('bad s-123-longer', ...secrets)).toBe('bad [redacted]');
  });

  it.each([
    ['a path', 'r/1?%x', 'no route GET /auth/refresh/r%2F1%3F%25x', 'r%2F1'],
    ['a path in lower case', 'r/1?%x', 'no route GET /auth/refresh/r%2f1%3f%25x', 'r%2f1'],
    ['a form', 'q+r "ü&', 'client_secret=q%2Br+%22%C3%BC%26', 'q%2Br'],
    ['JSON', 'q+r"ü&', JSON.stringify({ got: 'q+r"ü&' }), 'q+r'],
    ['JSON with escaped slashes', 'r/1?%x', '{"message":"bad token r\\/1?%x"}', 'r\\/1'],
    ['HTML', 'q+r"ü&', '<p>q+r&quot;ü&amp;</p>', 'q+r'],
  ])('have a secret cut out that is echoed in the spelling of %s', (_, secret, body, echo) => {
    expect(body).toContain(echo);
    expect(words(body, secret)).not.toContain(echo);
  });
});

describe('a long secret', () => {
  const secret = Array.from({ length: 100 }, (_, i) => String.fromCharCode(97 + ((i * 7) % 26))).join('');

  it('is cut out also where only its first part is there, from 32 characters on', () => {
    expect(words(`got ${secret.slice(0, 31)}!`, secret)).toBe(`got ${secret.slice(0, 31)}!`);
    expect(words(`got ${secret.slice(0, 32)}!`, secret)).toBe('got [redacted]!');
    expect(words(`got ${secret.slice(0, 90)} and ${secret}!`, secret)).toBe('got [redacted] and [redacted]!');
  });
});

describe('a secret behind a character that begins an escape', () => {
  it.each([
    ['%41xyz', '41xyz', '%[redacted]'],
    ['\\u0041bc', 'u0041bc', '\\[redacted]'],
    ['a\\\\b', 'a\\\\b', '[redacted]'],
    ['a\\\\\\\\b', 'a\\\\b', '[redacted]'],
    ['100%2541', '%41', '100[redacted]'],
    ['&&#x00041;&amp;b', 'A&b', '&[redacted]'],
  ])('is cut out of %s', (body, secret, shown) => {
    expect(words(body, secret)).toBe(shown);
  });
});

import { describe, expect, it } from 'vitest';
import { formatHostPort, splitHostPort } from '../../src/http/host-port.ts';

describe('a host and a port', () => {
  it.each([
    ['api.test:443', { host: 'api.test', port: 443 }],
    ['127.0.0.1:80', { host: '127.0.0.1', port: 80 }],
    ['[::1]:80', { host: '::1', port: 80 }],
  ])('are formatted as %s, and split again', (text, parts) => {
    expect(formatHostPort(parts)).toBe(text);
    expect(splitHostPort(text)).toMatchObject(parts);
  });

  it.each([
    ['api.test', { host: 'api.test', hasBrackets: false }],
    ['[::1]', { host: '::1', hasBrackets: true }],
    ['', { host: '', hasBrackets: false }],
  ])('may lack the port: %j', (text, parts) => {
    expect(splitHostPort(text)).toEqual({ ...parts, port: undefined });
  });

  it.each(['::1', '::1:80', '[::1', '[::1]80', 'api.test:', 'api.test:http', 'https://api.test'])(
    'are not in %s',
    (text) => {
      expect(splitHostPort(text)).toBeUndefined();
    },
  );
});

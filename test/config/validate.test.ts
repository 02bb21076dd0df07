import { describe, expect, it } from 'vitest';
import { good, mpesaRoute, mpesaWith, problemsOf, topWith } from './validate-text.ts';

describe('keys', () => {
  it.each([
    ['lisetn: 127.0.0.1:80', '5:1 lisetn | unknown key `lisetn`; did you mean `listen`?'],
    ['zebra: 1', '5:1 zebra | unknown key `zebra`'],
    [
      'li\u200bsten: 127.0.0.1:80',
      '5:1 li\u200bsten | a key contains the invisible character U+200B ZERO WIDTH SPACE at character 3; remove it',
    ],
    ['log: {levle: info}', '5:7 log.levle | log: unknown key `levle`; did you mean `level`?'],
    [
      'listen: {address: "127.0.0.1:80", tls: {cert: a, key: b, clientca: c}}',
      '5:58 listen.tls.clientca | listen.tls: unknown key `clientca`; did you mean `client_ca`?',
    ],
    ['admin: {address: "127.0.0.1:80", tokn: t}', '5:34 admin.tokn | admin: unknown key `tokn`; did you mean `token`?'],
    ['listen: {adress: "127.0.0.1:80"}', '5:10 listen.adress | listen: unknown key `adress`; did you mean `address`?'],
  ])('that are unknown at the top are reported with a suggestion: %s', (line, problem) => {
    expect(problemsOf(topWith(line))).toContain(problem);
  });

  it.each([
    ['time_out: 5s', '5:5 routes./mpesa/*.time_out | routes./mpesa/*: unknown key `time_out`; did you mean `timeout`?'],
    [
      'token: {request: {jsn: {}}}',
      '5:23 routes./mpesa/*.token.request.jsn | routes./mpesa/*.token.request: unknown key `jsn`; did you mean `json`?',
    ],
    [
      'token: {dead_token: [{staus: 401, status: 401}]}',
      '5:27 routes./mpesa/*.token.dead_token.0.staus | routes./mpesa/*.token.dead_token.0: ' +
        'unknown key `staus`; did you mean `status`?',
    ],
  ])('that are unknown on a route are reported too: %s', (line, problem) => {
    expect(problemsOf(mpesaWith(line))).toEqual([problem]);
  });

  it('that are missing are reported', () => {
    expect(problemsOf('open: false\n')).toEqual([
      '1:1 routes | `routes` is missing; add at least one, such as `/mpesa/*`; `wakala providers mpesa` shows an example',
    ]);
    expect(problemsOf(topWith('listen: {}'))).toEqual(['5:1 listen.address | listen: `address` is missing']);
    expect(problemsOf(topWith('listen: {address: "127.0.0.1:80", tls: {}}'))).toEqual([
      '5:35 listen.tls.cert | listen.tls: `cert` is missing',
      '5:35 listen.tls.key | listen.tls: `key` is missing',
    ]);
    expect(problemsOf(mpesaWith('token: {request: {basic: {username: u}}}'))).toEqual([
      '5:23 routes./mpesa/*.token.request.basic.password | routes./mpesa/*.token.request.basic: `password` is missing',
    ]);
  });
});

describe('types', () => {
  it.each([
    ['routes:', '1:1 routes | routes: is empty; it must be a mapping of keys to values'],
    [
      'routes: {}',
      '1:9 routes | routes: is empty; add at least one, such as `/mpesa/*`; `wakala providers mpesa` shows an example',
    ],
    ['routes: [a]', '1:9 routes | routes: must be a mapping of keys to values'],
    ['routes:\n  /a/*:', '2:3 routes./a/* | routes./a/*: is empty; it must be a mapping of keys to values'],
  ])('of routes: %j', (text, problem) => {
    expect(problemsOf(`${text}\n`)).toEqual([problem]);
  });

  it.each([
    ['open: yes', '5:7 open | open: must be `true` or `false`'],
    ['admin: true', '5:8 admin | admin: must be an address and a port such as `127.0.0.1:9901`, or `false`'],
    ['listen: 8080', '5:9 listen | listen: must be an address and a port such as `127.0.0.1:8080`'],
    ['environment: live', '5:14 environment | environment: must be one of `sandbox`, `production`'],
    [
      'environment: prodution',
      '5:14 environment | environment: must be one of `sandbox`, `production`; did you mean `production`?',
    ],
    ['clients: []', '5:10 clients | clients: is empty; remove it, or add at least one client'],
    ['clients: {a: b}', '5:10 clients | clients: must be a list'],
    ['clients: [a]', '5:11 clients.0 | clients.0: must be a mapping of keys to values'],
    ['allowed_hosts: a.example', '5:16 allowed_hosts | allowed_hosts: must be a list'],
    ['allowed_hosts: [1]', '5:17 allowed_hosts.0 | allowed_hosts.0: must be a text; put it in quotes'],
    ['log: info', '5:6 log | log: must be a mapping of keys to values'],
    [
      'log: {format: jsn}',
      '5:15 log.format | log.format: must be one of `auto`, `pretty`, `json`; did you mean `json`?',
    ],
  ])('at the top: %s', (line, problem) => {
    expect(problemsOf(topWith(line))).toEqual([problem]);
  });

  it.each([
    ['timeout: 60', '5:14', 'timeout', 'a duration needs a unit: `60s` for seconds, `60ms` for milliseconds'],
    ['timeout: true', '5:14', 'timeout', 'must be a duration such as `500ms`, `60s`, `5m` or `1h`'],
    ['timeout: 1 min', '5:14', 'timeout', 'must be a whole number and a unit, such as `500ms`, `60s`, `5m` or `1h`'],
    ['max_body: 10M', '5:15', 'max_body', 'must be a size such as `64KiB`, `10MiB`, `1MB`, or a whole number of bytes'],
    ['max_body: 1.5', '5:15', 'max_body', 'must be a size such as `64KiB`, `10MiB`, `1MB`, or a whole number of bytes'],
    ['replay: some', '5:13', 'replay', 'must be `true`, `false`, or a list of methods such as `[GET, POST]`'],
    ['allow: []', '5:12', 'allow', 'is empty and would reject every request; remove it to allow all'],
    ['headers: {x-a: 1}', '5:20', 'headers.x-a', 'must be a text; put it in quotes'],
    ['token_paths: answer', '5:18', 'token_paths', 'must be one of `placeholder`, `refuse`'],
    ['websocket: on', '5:16', 'websocket', 'must be `true` or `false`'],
    ['encoding: xml', '5:15', 'encoding', 'must be one of `multipart`, `form`, `json`'],
    ['upstream:', '5:5', 'upstream', 'is empty; it must be a text'],
    ['token: {dead_token: []}', '5:25', 'token.dead_token', 'is empty; remove it to use a plain 401'],
  ])('on a route: %s', (line, place, key, message) => {
    expect(problemsOf(mpesaWith(line))).toEqual([
      `${place} routes./mpesa/*.${key} | routes./mpesa/*.${key}: ${message}`,
    ]);
  });

  it('of a credential that YAML parses as a number are a problem without the value', () => {
    expect(problemsOf(mpesaWith().replace('consumer_key: k', 'consumer_key: 98765'))).toEqual([
      '4:33 routes./mpesa/*.credentials.consumer_key | routes./mpesa/*.credentials.consumer_key: must be a text; put it in quotes',
    ]);
  });
});

describe('bounds', () => {
  it.each([
    ['timeout', '1ms', '0s', 'between 1ms and 24h'],
    ['timeout', '24h', '86400001ms', 'between 1ms and 24h'],
    ['max_body', '0', '-1', 'between 0 and 1024GiB'],
    ['max_body', '1024GiB', '1025GiB', 'between 0 and 1024GiB'],
    ['max_concurrency', '1', '0', 'between 1 and 1000000'],
    ['max_concurrency', '1000000', '1000001', 'between 1 and 1000000'],
    ['max_websockets', '1', '0', 'between 1 and 1000000'],
    ['websocket_idle_timeout', '24h', '25h', 'between 1ms and 24h'],
  ])('of %s include %s but not %s', (key, inside, outside, reason) => {
    expect(problemsOf(mpesaWith(`${key}: ${inside}`))).toEqual([]);
    expect(problemsOf(mpesaWith(`${key}: ${outside}`))).toEqual([expect.stringContaining(reason)]);
  });

  it('of replay_limit include at most 64MiB', () => {
    expect(problemsOf(mpesaWith('max_body: 1GiB', 'replay_limit: 64MiB'))).toEqual([]);
    expect(problemsOf(mpesaWith('max_body: 1GiB', 'replay_limit: 65MiB'))).toEqual([
      expect.stringContaining('between 0 and 64MiB'),
    ]);
  });

  it('of the drain timeout are zero and one hour', () => {
    expect(good(topWith('drain_timeout: 0s')).drainTimeoutMs).toBe(0);
    expect(good(topWith('drain_timeout: 1h')).drainTimeoutMs).toBe(3_600_000);
    expect(problemsOf(topWith('drain_timeout: 3601s'))).toEqual([expect.stringContaining('between 0ms and 1h')]);
  });

  it('of max_connections are whole numbers from 1', () => {
    expect(good(topWith('max_connections: 1')).maxConnections).toBe(1);
    expect(problemsOf(topWith('max_connections: 0'))).toHaveLength(1);
    expect(problemsOf(topWith('max_connections: 1.5'))).toHaveLength(1);
  });

  it('of a dead token status are those of a response', () => {
    for (const status of [200, 599]) {
      expect(mpesaRoute(`token: {dead_token: [{status: ${status}}]}`).provider.deadToken).toEqual([{ status }]);
    }
    for (const status of [199, 600]) {
      expect(problemsOf(mpesaWith(`token: {dead_token: [{status: ${status}}]}`))).toHaveLength(1);
    }
  });
});

it('two invalid entries of a list do not hide other problems of the route', () => {
  const text = 'routes: {/a/*: {provider: mpesa, credentials: {}, allow: [GETX /x, POST x]}}\n';
  expect(problemsOf(text).map((problem) => problem.split(' ')[1])).toEqual([
    'routes./a/*.credentials.consumer_key',
    'routes./a/*.credentials.consumer_secret',
    'routes./a/*.allow.0',
    'routes./a/*.allow.1',
  ]);
});

it('every problem is reported at once, in the order of the file', () => {
  const text = [
    'lisetn: 1',
    'routes:',
    '  /mpesa/*:',
    '    provider: mpesa',
    '    credentials:',
    '      consumer_kye: k',
    '    timeout: 60',
    '  mpesa: {provider: jpya}',
    'clients:',
    '  - {name: a, key: short}',
    '  - {nme: b, key: "0123456789abcdef"}',
    '',
  ].join('\n');
  expect(problemsOf(text)).toEqual([
    '1:1 lisetn | unknown key `lisetn`; did you mean `listen`?',
    '5:5 routes./mpesa/*.credentials.consumer_key | routes./mpesa/*.credentials: `consumer_key` is missing ' +
      '(Consumer key of the app on developer.safaricom.co.ke)',
    '5:5 routes./mpesa/*.credentials.consumer_secret | routes./mpesa/*.credentials: `consumer_secret` is missing ' +
      '(Consumer secret of the same app)',
    '6:7 routes./mpesa/*.credentials.consumer_kye | routes./mpesa/*.credentials: unknown key `consumer_kye`; did you mean `consumer_key`?',
    '7:14 routes./mpesa/*.timeout | routes./mpesa/*.timeout: a duration needs a unit: `60s` for seconds, `60ms` for milliseconds',
    '8:3 routes.mpesa | routes: `mpesa`: a route must start with `/` and end with `/*`; write `/mpesa/*`',
    '8:21 routes.mpesa.provider | routes.mpesa.provider: unknown provider `jpya`; did you mean `jpay`?',
    '10:20 clients.0.key | clients.0.key: is shorter than 16 characters; make one with `openssl rand -hex 32`',
    '11:5 clients.1.name | clients.1: `name` is missing',
    '11:6 clients.1.nme | clients.1: unknown key `nme`; did you mean `name`?',
  ]);
});

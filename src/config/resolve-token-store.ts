import { type HostPort, splitHostPort } from '../http/host-port.ts';
import { isLoopbackName } from '../http/ip-address.ts';
import { Secret } from '../secret.ts';
import type { RedisServers, TokenStoreConfig } from './config.ts';
import type { Diagnostics } from './diagnostics.ts';
import { type ConfigInput, MIN_ENCRYPTION_KEY_LENGTH } from './schema.ts';
import type { Path } from './source.ts';
import { type CertificateContext, readRouteTls } from './tls.ts';
import { isHost } from './values.ts';

type TokenStoreInput = NonNullable<ConfigInput['token_store']>;

const PATH: Path = ['token_store'];
const KINDS = ['redis', 'sentinel', 'cluster'] as const;
const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;

/**
 * The Redis in which replicas share their tokens, and the keys that encrypt them. Use it only if `report` has no
 * problems afterwards.
 */
export function readTokenStore(
  { token_store: input }: ConfigInput,
  context: CertificateContext,
): TokenStoreConfig | undefined {
  if (input === undefined) return undefined;
  const { report } = context;
  const servers = readServers(input, context);
  const previous = input.previous_keys ?? [];
  const keys: [string, ...string[]] = [input.encryption_key, ...previous];
  keys.forEach((key, i) => {
    const at = i === 0 ? [...PATH, 'encryption_key'] : [...PATH, 'previous_keys', i - 1];
    const min = MIN_ENCRYPTION_KEY_LENGTH;
    if (key.length < min)
      report.problem(at, `is shorter than ${min} characters; make one with \`openssl rand -hex 32\``);
    else if (keys.indexOf(key) < i) report.problem(at, 'is listed twice; remove it');
  });
  const [current, ...others] = keys;
  return servers && { servers, keys: [new Secret(current), ...others.map((key) => new Secret(key))] };
}

/** Reports a problem if it returns undefined. */
function readServers(input: TokenStoreInput, context: CertificateContext): RedisServers | undefined {
  const { report, emulated } = context;
  const written = KINDS.filter((key) => input[key] !== undefined || report.isSilenced([...PATH, key]));
  if (written.length !== 1) {
    const text =
      written.length === 0
        ? 'names no Redis; add `redis: redis://host:6379`, or `sentinel` or `cluster` with their `nodes`'
        : `${written.map((key) => `\`${key}\``).join(' and ')} exclude each other; keep one of them`;
    report.problem(PATH, text, written[1]);
    return undefined;
  }
  const { redis, sentinel, cluster } = input;
  // `wakala dev` has no token store, so its files may be missing.
  const tls = input.tls === true || emulated ? {} : input.tls && readRouteTls(PATH, input.tls, context);
  if (redis !== undefined) return readRedisUrl(redis, tls, report);
  if (sentinel !== undefined) {
    const { name, nodes, database, sentinel_username, sentinel_password } = sentinel;
    warnOfClearText([...PATH, 'sentinel'], sentinel, tls, report);
    return {
      kind: 'sentinel',
      masterName: name,
      addresses: readNodes([...PATH, 'sentinel', 'nodes'], nodes, SENTINEL_PORT, report),
      login: { ...loginOf(sentinel.username, sentinel.password), database },
      sentinelLogin: loginOf(sentinel_username, sentinel_password),
      tls,
    };
  }
  if (cluster === undefined) return undefined;
  warnOfClearText([...PATH, 'cluster'], cluster, tls, report);
  return {
    kind: 'cluster',
    addresses: readNodes([...PATH, 'cluster', 'nodes'], cluster.nodes, REDIS_PORT, report),
    login: loginOf(cluster.username, cluster.password),
    tls,
  };
}

function loginOf(username: string | undefined, password: string | undefined) {
  return { username, password: password === undefined ? undefined : new Secret(password) };
}

function readNodes(
  path: Path,
  nodes: readonly string[],
  defaultPort: number,
  report: Diagnostics,
): readonly [HostPort, ...HostPort[]] {
  nodes.forEach((node, i) => {
    if (isHost(node)) return;
    const text = `must be a host and a port such as \`redis-1.internal:${defaultPort}\`, without scheme or path`;
    report.problem([...path, i], text);
  });
  const [first, ...others] = nodes.map((node) => addressOf(node, defaultPort));
  return first === undefined ? [addressOf('invalid', defaultPort)] : [first, ...others];
}

/** @param text as `isHost` accepts it */
function addressOf(text: string, defaultPort: number): HostPort {
  const { host = '', port = defaultPort } = splitHostPort(text) ?? {};
  return { host, port };
}

function readRedisUrl(text: string, tls: RedisServers['tls'], report: Diagnostics): RedisServers | undefined {
  const path = [...PATH, 'redis'];
  const url = URL.parse(text);
  const error = redisUrlError(url) ?? (tls && url?.protocol !== 'rediss:' ? TLS_NEEDS_REDISS : undefined);
  if (url === null || error !== undefined) {
    report.problem(path, error ?? '');
    return undefined;
  }
  if (url.protocol !== 'rediss:' && !isLoopbackName(url.hostname)) report.warn(path, CLEAR_TEXT);
  const [username, password] = [url.username, url.password].map(decodeURIComponent);
  return {
    kind: 'single',
    addresses: [addressOf(url.host, REDIS_PORT)],
    login: { ...loginOf(username || undefined, password || undefined), database: Number(url.pathname.slice(1)) },
    tls: url.protocol === 'rediss:' ? (tls ?? {}) : undefined,
  };
}

/** Tokens are encrypted before they are sent to Redis, but the password is not. */
const CLEAR_TEXT = 'sends the password unencrypted; use `rediss://`';

const TLS_NEEDS_REDISS = 'must begin with `rediss://`, because `tls` is set';

function redisUrlError(url: URL | null): string | undefined {
  if (url === null || (url.protocol !== 'redis:' && url.protocol !== 'rediss:') || url.hostname === '') {
    return 'must be `redis://host:6379` or `rediss://user:password@host:6379/0`';
  }
  if (!/^(\/\d*)?$/.test(url.pathname)) return 'must have no path, or the number of a database as its path';
  if (url.search !== '' || url.hash !== '') return 'must not contain a query (`?...`) or a fragment (`#...`)';
  if (/%(?![0-9a-f]{2})/i.test(url.username + url.password))
    return 'contains a bare `%` in user or password; write `%25`';
  return undefined;
}

function warnOfClearText(
  path: Path,
  {
    nodes,
    ...secrets
  }: { nodes: readonly string[]; password?: string | undefined; sentinel_password?: string | undefined },
  tls: RedisServers['tls'],
  report: Diagnostics,
): void {
  const isRemote = nodes.some((node) => !isLoopbackName(addressOf(node, 0).host));
  const key = (['password', 'sentinel_password'] as const).find((name) => secrets[name] !== undefined);
  if (tls === undefined && isRemote && key !== undefined) report.warn([...path, key], 'is sent unencrypted; set `tls`');
}

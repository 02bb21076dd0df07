import { isLoopbackName } from '../loopback.ts';
import { Secret } from '../secret.ts';
import type { TokenStoreConfig } from './config.ts';
import { BOUNDS } from './defaults.ts';
import type { Diagnostics } from './problems.ts';
import type { ConfigInput } from './schema.ts';
import type { Path } from './tree.ts';

/** Where replicas share their tokens, and what they seal them with. */
export function readTokenStore({ token_store: input }: ConfigInput, report: Diagnostics): TokenStoreConfig | undefined {
  if (input === undefined) return undefined;
  const path: Path = ['token_store'];
  const fault = urlFault(input.redis);
  if (fault !== undefined) report.problem([...path, 'redis'], fault);
  else warnOfClearText([...path, 'redis'], input.redis, report);
  const previous = input.previous_keys ?? [];
  const keys: [string, ...string[]] = [input.encryption_key, ...previous];
  keys.forEach((key, i) => {
    const at = i === 0 ? [...path, 'encryption_key'] : [...path, 'previous_keys', i - 1];
    const { min } = BOUNDS.encryptionKeyLength;
    if (key.length < min)
      report.problem(at, `is too short: at least ${min} characters, e.g. from \`openssl rand -hex 32\``);
    else if (keys.indexOf(key) < i) report.problem(at, 'is listed already');
  });
  const [current, ...others] = keys;
  return { url: new Secret(input.redis), keys: [new Secret(current), ...others.map((key) => new Secret(key))] };
}

/** The password goes over such a connection as it is; the tokens are sealed. */
function warnOfClearText(path: Path, text: string, report: Diagnostics): void {
  const url = URL.parse(text);
  if (url === null || url.protocol === 'rediss:' || isLoopbackName(url.hostname)) return;
  report.warn(path, 'is not encrypted on its way: whoever is in between sees its password; use `rediss://`');
}

function urlFault(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'redis:' && url.protocol !== 'rediss:') || url.hostname === '') {
    return 'must be `redis://host:6379` or `rediss://user:password@host:6379/0`';
  }
  if (!/^(\/\d*)?$/.test(url.pathname)) return 'may have the number of a database for its path, and nothing else';
  return url.search === '' && url.hash === '' ? undefined : 'must hold no query (`?...`) and no fragment (`#...`)';
}

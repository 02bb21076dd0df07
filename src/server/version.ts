import { readFileSync } from 'node:fs';

/** Of this package. */
export function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The commit that `npm run build` noted, 7 hex digits; empty from the sources, or where there was none to note. */
export function commit(): string {
  try {
    return readFileSync(new URL('../commit', import.meta.url), 'utf8');
  } catch {
    return '';
  }
}

/** For people: `0.1.0 (abc1234)`. */
export function versionLine(): string {
  const built = commit();
  return built === '' ? version() : `${version()} (${built})`;
}

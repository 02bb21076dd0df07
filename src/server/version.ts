import { readFileSync } from 'node:fs';

/** The version of this package. */
export function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The commit of the build, 7 hex digits. Empty if Wakala runs from its sources, or was built without Git. */
export function commit(): string {
  try {
    return readFileSync(new URL('../commit', import.meta.url), 'utf8');
  } catch {
    return '';
  }
}

/** Version and commit: `0.1.0 (abc1234)`. */
export function versionLine(): string {
  const built = commit();
  return built === '' ? version() : `${version()} (${built})`;
}

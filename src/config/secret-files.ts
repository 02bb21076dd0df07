import { DEFAULTS } from './defaults.ts';
import type { Files } from './files.ts';
import type { FileReference } from './interpolate.ts';
import type { Report } from './problems.ts';
import type { ConfigInput } from './schema.ts';
import type { Path } from './tree.ts';

/** What secret files are checked with. */
export interface SecretReading {
  readonly report: Report;
  readonly files: Files;
  /** Real credentials will not be used: a file that others may read stops nothing. */
  readonly emulated: boolean;
}

/** Reports the `${file:...}` of secrets that other users of this machine may read. */
export function checkSecretFiles(
  input: ConfigInput,
  references: readonly FileReference[],
  reading: SecretReading,
): void {
  for (const { path, file } of references) {
    const absolute = reading.files.absolute(file);
    if (isSecret(path) && reading.files.isShared(file)) reportShared(path, absolute, input, reading);
  }
}

/**
 * Other users of this machine may read the file that the value at `path` is in: a problem in production, else a
 * warning. Where the file's name is not to be shown, it is undefined.
 */
export function reportShared(
  path: Path,
  file: string | undefined,
  input: ConfigInput,
  { report, emulated }: Omit<SecretReading, 'files'>,
): void {
  const [shown, command] = file === undefined ? ['this file', 'chmod 600 FILE'] : [`\`${file}\``, `chmod 600 ${file}`];
  const remedy = `run \`${command}\` (in Kubernetes, set \`defaultMode: 0440\` on the volume and \`fsGroup\` on the pod)`;
  const text = `other users of this machine may read ${shown}; ${remedy}`;
  if (isProduction(path, input) && !emulated) report.problem(path, text);
  else report.warn(path, text);
}

function isSecret([top, second, third, fourth]: Path): boolean {
  if (top === 'routes' && third === 'oauth2') return fourth === 'key' || fourth === 'refresh_token';
  if (top === 'routes') return ['credentials', 'token', 'headers'].includes(String(third));
  if (top === 'token_store') return true;
  return top === 'clients' ? third === 'key' : top === 'admin' && second === 'token';
}

/** Whether the value is used in production: that of a route by this route, any other by any route. */
function isProduction([top, name]: Path, input: ConfigInput): boolean {
  const routes = Object.entries(input.routes).filter(([route]) => top !== 'routes' || route === name);
  return routes.some(([, { environment = input.environment ?? DEFAULTS.environment }]) => environment === 'production');
}

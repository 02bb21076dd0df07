import { resolve } from 'node:path';
import { DEFAULTS } from './defaults.ts';
import type { Files } from './files.ts';
import type { FileReference } from './interpolate.ts';
import type { Diagnostics } from './problems.ts';
import type { ConfigInput } from './schema.ts';
import type { Path } from './tree.ts';

/** What the modes of files are checked with. */
export interface FileModeContext {
  readonly input: ConfigInput;
  readonly report: Diagnostics;
  readonly files: Files;
  /** Real credentials will not be used: a file that others may read or write stops nothing. */
  readonly emulated: boolean;
}

const IN_KUBERNETES = '(in Kubernetes, set `defaultMode: 0440` on the volume and `fsGroup` on the pod)';

/** A file that was read for the value at `path`. */
export interface FileUse {
  readonly path: Path;
  readonly file: string;
  readonly isSecret: boolean;
  /** Its name came from a variable, and is not shown. */
  readonly isNameHidden?: boolean;
}

/**
 * Reports what other users of this machine may do to the configuration and the files of its `${file:...}`: read one
 * that holds a secret, write any of them, or put another in its place.
 */
export function checkFileModes(config: string, references: readonly FileReference[], reading: FileModeContext): void {
  checkFileMode({ path: [], file: resolve(config), isSecret: false }, reading);
  for (const { path, file } of references) checkFileMode({ path, file, isSecret: isSecret(path) }, reading);
}

/** The same for one file. */
export function checkFileMode({ path, file, isSecret, isNameHidden = false }: FileUse, reading: FileModeContext): void {
  const { files } = reading;
  const [shown, name] = isNameHidden ? ['this file', 'FILE'] : [`\`${files.absolute(file)}\``, files.absolute(file)];
  const isRead = isSecret && files.isReadByOthers(file);
  const isWritten = files.isWrittenByOthers(file);
  if (isRead || isWritten) {
    const rights = isRead && isWritten ? 'read and write' : isRead ? 'read' : 'write';
    const remedy = isRead ? `run \`chmod 600 ${name}\` ${IN_KUBERNETES}` : `run \`chmod go-w ${name}\``;
    reportMode(path, `other users of this machine may ${rights} ${shown}; ${remedy}`, reading);
  }
  for (const folder of files.sharedFolders(file)) {
    const command = `chmod go-w ${isNameHidden ? 'FOLDER' : folder}`;
    const remedy = `run \`${command}\` (in Kubernetes, mount it with \`readOnly: true\`)`;
    const text = `other users of this machine may replace ${shown}, as they may write its folder; ${remedy}`;
    reportMode(path, text, reading);
  }
}

/** A problem in production, else a warning. */
function reportMode(path: Path, text: string, { input, report, emulated }: FileModeContext): void {
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

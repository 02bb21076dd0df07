// Gives a Node the files of a container: MOUNTS, `path=where it is`, one a line. Loaded into what `played/container.ts`
// starts.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { fileURLToPath } from 'node:url';

const mounts = (process.env.MOUNTS ?? '')
  .split('\n')
  .filter(Boolean)
  .map((line) => line.split('='));
const NAMES = [
  'openSync',
  'readFileSync',
  'statSync',
  'existsSync',
  'readdirSync',
  'realpathSync',
  'accessSync',
  'watch',
];

/** A page's own `/etc` is a folder elsewhere, which a container knows nothing of. */
function whereIs(written) {
  const file = written.replace(process.env.MACHINE ?? '', '');
  const [inside, outside] = mounts.find(([at]) => file === at || file.startsWith(`${at}/`)) ?? [];
  return inside === undefined ? file : outside + file.slice(inside.length);
}

function pathOf(file) {
  return file instanceof URL ? fileURLToPath(file) : String(file);
}

for (const name of NAMES) {
  const real = fs[name];
  fs[name] = (file, ...rest) => real(typeof file === 'number' ? file : whereIs(pathOf(file)), ...rest);
}
syncBuiltinESMExports();

// Prints the dependencies of the package, from the lock file, as a CycloneDX document: `npm run --silent sbom`.
// Arguments are passed to `npm sbom`. `npm sbom --omit=dev` leaves out packages that a development dependency needs too
// (https://github.com/npm/cli/issues/7909), so it runs on a copy of the project without development dependencies.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const read = (file) => JSON.parse(readFileSync(path.join(ROOT, file), 'utf8'));

const temporary = mkdtempSync(path.join(tmpdir(), 'wakala-sbom-'));
try {
  // npm names the root of the document after its folder.
  const folder = path.join(temporary, 'wakala');
  mkdirSync(folder);
  const lock = read('package-lock.json');
  // `devOptional` marks development dependencies that are also optional peers of the package.
  const shipped = Object.entries(lock.packages).filter(([, { dev, devOptional }]) => !dev && !devOptional);
  const packages = { ...Object.fromEntries(shipped), '': withoutDevDependencies(lock.packages['']) };
  write(path.join(folder, 'package.json'), withoutDevDependencies(read('package.json')));
  write(path.join(folder, 'package-lock.json'), { ...lock, packages });
  const args = ['sbom', '--package-lock-only', '--sbom-format=cyclonedx', ...process.argv.slice(2)];
  process.exitCode = npm(args, folder);
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

function withoutDevDependencies(manifest) {
  return without(manifest, ['devDependencies', 'peerDependencies', 'peerDependenciesMeta']);
}

function without(object, names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

function write(file, content) {
  writeFileSync(file, JSON.stringify(content));
}

function npm(args, cwd) {
  const cli = process.env.npm_execpath;
  // `npm run` sets this variable to its own folder.
  const env = without(process.env, ['npm_config_local_prefix']);
  const [command, before] = cli === undefined ? ['npm', []] : [process.execPath, [cli]];
  return spawnSync(command, [...before, ...args], { cwd, env, stdio: 'inherit' }).status ?? 1;
}

import { spawnSync } from 'node:child_process';

const ASK = 'import sys, importlib.util as u; print(sys.executable); sys.exit(u.find_spec("requests") is None)';

/** Pythons of this machine: Debian's own may have `requests` where the first on PATH has not. */
const FOUND = ['python3', '/usr/bin/python3'].map((name) => spawnSync(name, ['-c', ASK], { encoding: 'utf8' }));

/** One that has `requests`, which examples use, or any. A link of a version manager would ask for that manager. */
export const PYTHON = (FOUND.find(({ status }) => status === 0) ?? FOUND[0])?.stdout?.trim() || 'python3';

/** Whether there is one that has it; in CI there must be. */
export function hasPython(): boolean {
  if (FOUND.some(({ status }) => status === 0)) return true;
  const how = 'no python3 here has requests: apt-get install python3-requests (or the package of your system)';
  if (process.env['CI'] !== undefined) throw new Error(how);
  process.stderr.write(`${how}; the pages that need it are skipped\n`);
  return false;
}

import { execFileSync } from 'node:child_process';

/** Programs that some tests need, and the Debian packages that have them. */
const PACKAGES = {
  'redis-server': 'redis-server',
  chromium: 'chromium',
  promtool: 'prometheus',
  'docker-compose': 'docker-compose',
  'systemd-analyze': 'systemd',
  // Debian's own, in 12, has a Kustomize that is too old.
  kubectl: 'kubectl',
  curl: 'curl',
  jq: 'jq',
  openssl: 'openssl',
} as const;

/** How a program is asked for its version where that is not `--version`. */
const VERSION: Readonly<Record<string, readonly string[]>> = {
  kubectl: ['version', '--client'],
  openssl: ['version'],
};

/** Where these tests must not be passed over. */
const IN_CI = process.env['CI'] !== undefined;

/** Whether a program is there; in CI it must be. */
export function hasTool(name: keyof typeof PACKAGES): boolean {
  try {
    execFileSync(name, VERSION[name] ?? ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    const how = `${name} is missing: apt-get install ${PACKAGES[name]} (or the package of your system)`;
    if (IN_CI) throw new Error(how);
    process.stderr.write(`${how}; the tests that need it are skipped\n`);
    return false;
  }
}

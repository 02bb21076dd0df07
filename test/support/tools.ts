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
  openssl: 'openssl',
  nginx: 'nginx-light',
  haproxy: 'haproxy',
  python3: 'python3',
  tinyproxy: 'tinyproxy',
  squid: 'squid',
} as const;

/** Arguments that print the version, if not `--version`. */
const VERSION: Readonly<Record<string, readonly string[]>> = {
  kubectl: ['version', '--client'],
  nginx: ['-v'],
  openssl: ['version'],
  haproxy: ['-v'],
  tinyproxy: ['-v'],
};

/** Where these tests must not be passed over. */
const IN_CI = process.env['CI'] !== undefined;

type Tool = keyof typeof PACKAGES;

/** Whether a program is there; in CI it must be. */
export function hasTool(name: Tool): boolean {
  if (isThere(name)) return true;
  if (IN_CI) throw new Error(missing(name));
  process.stderr.write(`${missing(name)}; the tests that need it are skipped\n`);
  return false;
}

/** Fails a test that must not be skipped where its program is missing. */
export function requireTool(name: Tool): void {
  if (!isThere(name)) throw new Error(missing(name));
}

function isThere(name: Tool): boolean {
  try {
    execFileSync(name, VERSION[name] ?? ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function missing(name: Tool): string {
  return `${name} is missing: apt-get install ${PACKAGES[name]} (or the package of your system)`;
}

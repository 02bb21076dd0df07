import { providers } from '../providers/registry.ts';
import type { Environment } from '../providers/provider.ts';
import { isLoopbackName } from '../loopback.ts';
import { formatAddress, isLinkLocal, leadsTo } from './address.ts';
import type { ListenAddress } from './config.ts';
import type { Diagnostics } from './problems.ts';
import type { Path } from './tree.ts';

/**
 * Checks the URL given at `path` and returns its origin and path without a trailing slash; undefined if it cannot
 * be used. Bad for the environment is a problem too, but leaves the URL usable for further checks.
 */
export function checkedUrl(
  path: Path,
  text: string,
  environment: Environment,
  report: Diagnostics,
): string | undefined {
  const url = URL.parse(text);
  const fault = url === null ? 'must be a whole URL such as `https://api.example.com/v1`' : urlFault(text, url);
  if (fault !== undefined || url === null) {
    report.problem(path, fault ?? 'not a URL');
    return undefined;
  }
  checkEnvironment(path, url, environment, report);
  return `${url.origin}${url.pathname}`.replace(/(?<!\/)\/+$/, '');
}

/** Where this process itself listens. */
export interface OwnListeners {
  readonly listen: ListenAddress;
  readonly admin: ListenAddress | undefined;
}

/**
 * A URL at which this process itself would answer is a problem: at the proxy it is a loop, and at the admin listener
 * clients of the proxy could see and do what is for this machine alone.
 */
export function checkLoop(path: Path, text: string | undefined, own: OwnListeners, report: Diagnostics): void {
  const url = text === undefined ? null : URL.parse(text);
  if (url === null) return;
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const { listen, admin } = own;
  if (leadsTo(listen, url.hostname, port)) {
    report.problem(path, `leads back to this proxy, which listens on ${formatAddress(listen)}; name the API itself`);
  } else if (admin !== undefined && leadsTo(admin, url.hostname, port)) {
    const text = `leads to the admin listener of this proxy (${formatAddress(admin)}), which clients must not reach`;
    report.problem(path, `${text}; name the API itself`);
  }
}

function urlFault(text: string, url: URL): string | undefined {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must begin with `https://` (or `http://`)';
  if (url.username !== '' || url.password !== '') return 'must hold no user name or password; use `credentials`';
  if (text.includes('?')) return 'must hold no query (`?...`); the query of each call is passed on as it is';
  if (text.includes('#')) return 'must hold no fragment (`#...`)';
  if (/[\s\\]/.test(text)) return 'must hold no spaces or backslashes';
  if (/\/\/|\/\.{1,2}(\/|$)|%2e|%2f|%5c/i.test(text.replace(/^[a-z]+:\/\//i, ''))) {
    return 'must hold no `//`, `.` or `..` in its path';
  }
  if (isLinkLocal(url.hostname)) return 'must not be a link-local address or a metadata service';
  return undefined;
}

function checkEnvironment(path: Path, url: URL, environment: Environment, report: Diagnostics): void {
  if (url.protocol === 'http:') {
    const text = '`http:` would send tokens and payments in the clear; use `https:`';
    if (environment === 'production') report.problem(path, text);
    else if (!isLoopbackName(url.hostname)) report.warn(path, text);
  }
  const known = BUILT_IN_HOSTS.get(url.hostname.replace(/\.$/, ''));
  if (known === undefined || known.environments.has(environment)) return;
  const [other] = known.environments;
  const remedy = `set \`environment: ${other}\` on the route, or leave the URL out`;
  report.problem(path, `this is the ${other} host of \`${known.provider}\`, on a ${environment} route; ${remedy}`);
}

const BUILT_IN_HOSTS = builtInHosts();

/** Every host of a built-in provider, with the environments that it serves. */
function builtInHosts(): Map<string, { provider: string; environments: Set<Environment> }> {
  const hosts = new Map<string, { provider: string; environments: Set<Environment> }>();
  for (const provider of providers) {
    for (const environment of ['sandbox', 'production'] as const) {
      const { api, auth = api } = provider.hosts?.[environment] ?? {};
      for (const base of new Set([api, auth])) {
        if (base === undefined) continue;
        const { hostname } = new URL(base);
        const known = hosts.get(hostname) ?? { provider: provider.name, environments: new Set() };
        known.environments.add(environment);
        hosts.set(hostname, known);
      }
    }
  }
  return hosts;
}

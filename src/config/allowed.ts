import { isIPv6 } from 'node:net';
import { isLoopbackName } from '../loopback.ts';
import { isHostName } from './address.ts';
import type { Diagnostics } from './problems.ts';
import type { Path } from './tree.ts';

/** The entries of `allowed_hosts`: host names, each with a port or without. */
export function readHosts(path: Path, hosts: readonly string[], report: Diagnostics): string[] {
  return hosts.map((host, i) => {
    if (!isHost(host)) {
      const url = URL.parse(host.includes('://') ? host : `http://${host}`);
      const text = 'must be a host name such as `wakala.internal` or `wakala.internal:8080`, without scheme or path';
      report.problem([...path, i], `${text}${hint([...path, i], url?.host, isHost, report)}`);
    }
    return host.toLowerCase();
  });
}

/** The entries of `allowed_origins`, as browsers write them. */
export function readOrigins(path: Path, origins: readonly string[], report: Diagnostics): string[] {
  return origins.map((origin, i) => {
    if (!isOrigin(origin)) {
      const scheme = isLoopbackName(origin.split(/[:/]/, 1)[0] ?? '') ? 'http' : 'https';
      const url = URL.parse(origin.includes('://') ? origin : `${scheme}://${origin}`);
      const text = 'must be an origin such as `https://app.example`, without path, trailing `/` or `*`';
      const meant = origin === 'null' ? undefined : url?.origin;
      report.problem([...path, i], `${text}${hint([...path, i], meant, isOrigin, report)}`);
    }
    return URL.parse(origin)?.origin ?? origin;
  });
}

function isHost(text: string): boolean {
  const [, inBrackets, plain = '', port = '0'] = /^(?:\[([^\]]*)\]|([^:]*))(?::([0-9]+))?$/.exec(text) ?? [];
  const named = inBrackets === undefined ? isHostName(plain) : isIPv6(inBrackets);
  return named && Number(port) <= 65_535;
}

function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:\/\/[^/?#@\\\s]+$/i.test(text) && isHost(url.host);
}

/** What to write instead, unless that would show a value from elsewhere. */
function hint(path: Path, meant: string | undefined, fits: (text: string) => boolean, report: Diagnostics): string {
  const shown = meant !== undefined && fits(meant) && !report.isInterpolated(path);
  return shown ? `; write \`${meant}\`` : '';
}

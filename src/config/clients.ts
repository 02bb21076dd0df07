import { isLoopbackName } from '../loopback.ts';
import { Secret } from '../secret.ts';
import { formatAddress } from './address.ts';
import type { Client, ListenAddress } from './config.ts';
import { BOUNDS } from './defaults.ts';
import { didYouMean } from './nearest.ts';
import type { Diagnostics } from './problems.ts';
import type { ConfigInput } from './schema.ts';
import type { Path } from './tree.ts';

/** An address that others can reach needs a word on who may call. */
export function checkAccess(input: ConfigInput, listen: ListenAddress, report: Diagnostics): void {
  const bad = (key: string) => report.isSilenced([key]);
  if (input.open === true && input.clients !== undefined) {
    report.problem(['open'], '`open: true` contradicts `clients`; keep one of them');
  }
  if (isLoopbackName(listen.host) || input.open === true || input.clients !== undefined) return;
  if (bad('open') || bad('clients') || bad('listen') || asksForCertificates(input, report)) return;
  const reach = `anyone who can reach ${formatAddress(listen)} could spend with your credentials`;
  const remedies = [
    'name who may call under `clients`',
    'ask for client certificates with `listen: {address, tls: {cert, key, client_ca}}`',
    'say `open: true` if that is meant',
    'or listen on 127.0.0.1',
  ];
  report.problem(['listen'], `${reach}; ${remedies.join(', ')}`);
}

/** Whether callers are known by their certificates; also if that was meant, and what was said is bad. */
function asksForCertificates(input: ConfigInput, report: Diagnostics): boolean {
  return input.listen?.tls?.client_ca !== undefined || report.isSilenced(['listen', 'tls', 'client_ca']);
}

export function readClients(input: ConfigInput, report: Diagnostics): Client[] {
  const names = new Set<string>();
  const keys = new Set<string>();
  const routes = report.keysAt(['routes']);
  return (input.clients ?? []).map((client, i) => {
    const path: Path = ['clients', i];
    const { name, key } = client;
    if (name === undefined) report.problem(path, '`name` is missing', 'name');
    else checkName([...path, 'name'], name, names, report);
    if (key !== undefined) checkKey([...path, 'key'], key, keys, report);
    else if (!asksForCertificates(input, report)) {
      const other = 'only with `listen.tls.client_ca` a client may do without';
      report.problem(path, `\`key\` is missing; the client sends it as its bearer token (${other})`, 'key');
    }
    client.routes?.forEach((route, j) => {
      if (routes.includes(route)) return;
      const at = [...path, 'routes', j];
      const guess = report.isInterpolated(at) ? '' : didYouMean(route, routes);
      report.problem(at, `there is no route ${report.quoted(at, route)}${guess}`);
    });
    return { name: name ?? '', key: key === undefined ? undefined : new Secret(key), routes: client.routes };
  });
}

function checkName(path: Path, name: string, seen: Set<string>, report: Diagnostics): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
    report.problem(path, 'must be 1 to 64 letters, digits, `.`, `_` or `-`, the first a letter or digit');
  } else if (seen.has(name)) {
    report.problem(path, `another client is named ${report.quoted(path, name)} already`);
  }
  seen.add(name);
}

function checkKey(path: Path, key: string, seen: Set<string>, report: Diagnostics): void {
  const fault = bearerError(key);
  if (fault !== undefined) report.problem(path, fault);
  else if (seen.has(key)) report.problem(path, 'is the key of another client already; give each its own');
  seen.add(key);
}

/** Why this cannot be what a caller proves itself with; undefined if it can. */
export function bearerError(key: string): string | undefined {
  const { min, max } = BOUNDS.clientKeyLength;
  if (key.length < min) return `is too short: at least ${min} characters, e.g. from \`openssl rand -hex 32\``;
  if (key.length > max) return `is too long: at most ${max} characters`;
  if (/^[!-~]*$/.test(key)) return undefined;
  return 'holds a space, a line break or a character beyond ASCII, which no bearer token can';
}

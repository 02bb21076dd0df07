import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { median, spread, type Window } from './load.ts';
import { HELLO, HTTP_PROXY_3, NGINX, NODE, type Subject, WAKALA } from './proxies.ts';
import type { LoadName } from './run.ts';

export interface Results {
  readonly windows: ReadonlyMap<Subject, ReadonlyMap<LoadName, readonly Window[]>>;
  readonly clientFloorUs: number;
  readonly start: { readonly readyMs: number; readonly rssIdleMb: number };
  /** Absent from a quick run. */
  readonly extras:
    | {
        readonly bulk: { readonly downMb: number; readonly upMb: number };
        readonly burst: { readonly exchanges: number; readonly allSentMs: number };
        readonly routes: { readonly few: number; readonly many: number };
        readonly million: { readonly requests: number; readonly grownMb: number };
      }
    | undefined;
  readonly skipped: readonly string[];
}

const README = fileURLToPath(new URL('README.md', import.meta.url));
const LATEST = fileURLToPath(new URL('results/latest.json', import.meta.url));
const BEGIN = '<!-- written by npm run bench -->';
const END = '<!-- end -->';

function cpu(results: Results, subject: Subject, load: LoadName): number {
  return median((results.windows.get(subject)?.get(load) ?? []).map((window) => window.cpuUs));
}

function bestPeer(results: Results, load: LoadName): { name: string; cpuUs: number } {
  const peers = [...results.windows.keys()].filter((subject) => subject.kind === 'peer');
  const ranked = peers.map((peer) => ({ name: peer.name, cpuUs: cpu(results, peer, load) }));
  return ranked.reduce((best, peer) => (peer.cpuUs < best.cpuUs ? peer : best), { name: '', cpuUs: Infinity });
}

function ratios(results: Results, load: LoadName) {
  const wakala = cpu(results, WAKALA, load);
  const peer = bestPeer(results, load);
  const floor = cpu(results, HELLO, load) + results.clientFloorUs;
  return {
    wakala_us: round(wakala),
    wakala_vs_http_proxy_3: round(wakala / cpu(results, HTTP_PROXY_3, load)),
    wakala_vs_best_js_peer: round(wakala / peer.cpuUs),
    best_js_peer: peer.name,
    wakala_vs_nginx: round(wakala / cpu(results, NGINX, load)),
    ...(Number.isNaN(floor) ? {} : { wakala_vs_floor: round(wakala / floor) }),
  };
}

function summary(results: Results) {
  const windows = results.windows.get(WAKALA)?.get('get') ?? [];
  const p50 = (subject: Subject) =>
    median((results.windows.get(subject)?.get('one') ?? []).map((window) => window.p50Us));
  return {
    get: ratios(results, 'get'),
    post: ratios(results, 'post'),
    big: ratios(results, 'big'),
    one_connection_p50_us: { wakala: p50(WAKALA), nginx: p50(NGINX), added: p50(WAKALA) - p50(NGINX) },
    rss_idle_mb: round(results.start.rssIdleMb),
    ready_ms: Math.round(results.start.readyMs),
    spread: round(spread(windows.map((window) => window.cpuUs))),
  };
}

/** The last line of a quick run. */
export function quickLine(results: Results): string {
  return JSON.stringify(summary(results));
}

/** Prints the table; a full run also keeps it in the README of this folder, and the figures in `results/`. */
export function writeReport(results: Results, quick: boolean): void {
  const text = [machine(), table(results), extrasText(results), skippedText(results)].filter(Boolean).join('\n\n');
  process.stdout.write(`${text}\n`);
  if (quick) return;
  mkdirSync(fileURLToPath(new URL('results', import.meta.url)), { recursive: true });
  writeFileSync(
    LATEST,
    `${JSON.stringify({ machine: machine(), ...summary(results), extras: results.extras }, null, 2)}\n`,
  );
  const readme = readFileSync(README, 'utf8');
  const [before = ''] = readme.split(BEGIN);
  const after = readme.split(END)[1] ?? '\n';
  writeFileSync(README, `${before}${BEGIN}\n\n${text}\n\n${END}${after}`);
}

function machine(): string {
  const node = execFileSync(NODE, ['--version'], { encoding: 'utf8' }).trim();
  const nginx = execFileSync('sh', ['-c', 'nginx -v 2>&1'], { encoding: 'utf8' }).trim().replace('nginx version: ', '');
  const [first] = cpus();
  const date = new Date().toISOString().slice(0, 10);
  return `${date}, ${cpus().length} x ${first?.model.trim() ?? 'unknown CPU'}, Node ${node}, ${nginx}, loopback, the proxy alone on one core.`;
}

function table(results: Results): string {
  const reference = (load: LoadName) => cpu(results, HTTP_PROXY_3, load);
  const cell = (subject: Subject, load: LoadName) => {
    const windows = results.windows.get(subject)?.get(load) ?? [];
    if (windows.length === 0) return '';
    const values = windows.map((window) => window.cpuUs);
    const noise = values.length > 1 ? ` ±${Math.round(spread(values) * 100)} %` : '';
    return `${median(values).toFixed(1)} (${(median(values) / reference(load)).toFixed(2)})${noise}`;
  };
  const p50 = (subject: Subject) => {
    const windows = results.windows.get(subject)?.get('one') ?? [];
    return windows.length === 0 ? '' : median(windows.map((window) => window.p50Us)).toFixed(0);
  };
  const rows = [...results.windows.keys()].map(
    (subject) =>
      `| ${subject.name} | ${cell(subject, 'get')} | ${cell(subject, 'post')} | ${cell(subject, 'big')} | ${p50(subject)} |`,
  );
  return [
    'CPU microseconds of the proxy for each request (in brackets: times bare http-proxy-3).',
    '',
    '| | GET 200 B | POST 500 B | GET 1 MiB | p50 of one connection, us |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    `| undici dispatch alone (client floor) | ${results.clientFloorUs.toFixed(1)} | | | |`,
  ].join('\n');
}

function extrasText({ start, extras }: Results): string {
  const lines = [`- Ready in ${Math.round(start.readyMs)} ms; ${round(start.rssIdleMb)} MiB resident when idle.`];
  if (extras !== undefined) {
    const { bulk, burst, routes, million } = extras;
    lines.push(
      `- 100 MiB down: +${round(bulk.downMb)} MiB resident at most; 100 MiB up: +${round(bulk.upMb)} MiB.`,
      `- 1,000 requests at once without a token: ${burst.exchanges} exchange, all of them sent within ${Math.round(burst.allSentMs)} ms of its answer.`,
      `- 10 routes and tokens: ${routes.few.toFixed(1)} us; 10,000: ${routes.many.toFixed(1)} us.`,
      `- ${million.requests.toLocaleString('en')} requests: ${round(million.grownMb)} MiB more resident than after warming up.`,
    );
  }
  return lines.join('\n');
}

function skippedText({ skipped }: Results): string {
  return skipped.length === 0 ? '' : `Not measured:\n\n${skipped.map((line) => `- ${line}`).join('\n')}`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { formatFigure, verdictsOf } from './goals.ts';
import { LOAD_NAMES, type LoadName, LOADS, median, spread } from './load.ts';
import { HTTP_PROXY_3, NGINX, NODE, type Subject, WAKALA, WAKALA_SIGNED, WAKALA_WORKERS } from './proxies.ts';
import { addedP50Us, cpuUsOf, p50UsOf, ratiosOf, type Results, windowsOf } from './results.ts';

const BENCH_README = fileURLToPath(new URL('README.md', import.meta.url));
const README = fileURLToPath(new URL('../README.md', import.meta.url));
const LATEST = fileURLToPath(new URL('results/latest.json', import.meta.url));
const BEGIN = '<!-- written by npm run bench -->';
const END = '<!-- end -->';

/** Prints the tables. A full run also writes them to the two README files, and the figures to `results/`. */
export function writeReport(results: Results, quick: boolean): void {
  const text = benchText(results);
  process.stdout.write(`${text}\n`);
  if (quick) return;
  replaceGenerated(BENCH_README, text);
  replaceGenerated(README, readmeText(results));
  mkdirSync(fileURLToPath(new URL('results', import.meta.url)), { recursive: true });
  writeFileSync(LATEST, `${JSON.stringify(latest(results), null, 2)}\n`);
}

/** @throws Error if the file has no generated part */
function replaceGenerated(file: string, text: string): void {
  const old = readFileSync(file, 'utf8');
  const [begin, end] = [old.indexOf(BEGIN), old.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`${file} has no "${BEGIN}" followed by "${END}"`);
  writeFileSync(file, `${old.slice(0, begin)}${BEGIN}\n\n${text}\n\n${old.slice(end)}`);
}

// For programs

function summary(results: Results) {
  const figures = (load: LoadName) => {
    const { httpProxy3, bestPeer, bestPeerName, nginx } = ratiosOf(results, load);
    return {
      wakala_us: round(cpuUsOf(results, WAKALA, load)),
      wakala_vs_http_proxy_3: round(httpProxy3),
      wakala_vs_best_js_peer: round(bestPeer),
      best_js_peer: bestPeerName,
      wakala_vs_nginx: round(nginx),
    };
  };
  const windows = windowsOf(results, WAKALA, 'get');
  return {
    get: figures('get'),
    post: figures('post'),
    big: figures('big'),
    tls_get: figures('tlsGet'),
    ...(windowsOf(results, WAKALA, 'tlsPost').length > 0 && { tls_post: figures('tlsPost') }),
    tls_big: figures('tlsBig'),
    one_connection_p50_us: {
      wakala: p50UsOf(results, WAKALA, 'one'),
      nginx: p50UsOf(results, NGINX, 'one'),
      added: addedP50Us(results),
    },
    signed_post_us: Object.fromEntries(
      WAKALA_SIGNED.map((subject) => [subject.name, round(cpuUsOf(results, subject, 'post'))]),
    ),
    workers_2_get_us: round(cpuUsOf(results, WAKALA_WORKERS, 'get')),
    rss_idle_mb: round(results.start.rssIdleMb),
    ready_ms: Math.round(results.start.readyMs),
    spread: round(spread(windows.map((window) => window.cpuUs))),
    goals_missed: verdictsOf(results)
      .filter(({ isMet }) => !isMet)
      .map(({ goal }) => goal.name),
  };
}

/** The last line of a quick run. */
export function quickLine(results: Results): string {
  return JSON.stringify(summary(results));
}

/** The file in `results/`: the summary, and the CPU of all proxies. */
function latest(results: Results): unknown {
  const cpuUs = [...results.windows].map(([subject, loads]) => {
    const medians = [...loads.keys()].map((load) => [load, round(cpuUsOf(results, subject, load))] as const);
    return [subject.name, Object.fromEntries(medians)] as const;
  });
  return {
    machine: machine(),
    ...summary(results),
    extras: results.extras,
    cpu_us: Object.fromEntries(cpuUs),
  };
}

// bench/README.md

function benchText(results: Results): string {
  const parts = [
    machine(),
    'CPU microseconds of the proxy for each request (in brackets: times bare http-proxy-3).',
    httpTable(results),
    '## Over TLS to the upstream',
    'The same, with kept connections and verified certificates (in brackets: times bare http-proxy-3 over TLS).',
    tlsTable(results),
    '## Goals',
    goalsTable(results),
    '## Start and memory',
    extrasText(results),
    skippedText(results),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function machine(): string {
  const node = execFileSync(NODE, ['--version'], { encoding: 'utf8' }).trim();
  return `${today()}, ${cpus().length} x ${processor()}, Node ${node}, ${nginxVersion()}, loopback, the proxy alone on one core.`;
}

const today = () => new Date().toISOString().slice(0, 10);
const processor = () => cpus()[0]?.model.trim() ?? 'unknown CPU';
const nginxVersion = () =>
  execFileSync('sh', ['-c', 'nginx -v 2>&1'], { encoding: 'utf8' }).trim().replace('nginx version: ', '');

/** CPU and its multiple of http-proxy-3's, such as `87.5 (0.55)`. Empty if it was not measured. */
function cpuCell(results: Results, subject: Subject, load: LoadName): string {
  const cpuUs = cpuUsOf(results, subject, load);
  if (Number.isNaN(cpuUs)) return '';
  return `${cpuUs.toFixed(1)} (${(cpuUs / cpuUsOf(results, HTTP_PROXY_3, load)).toFixed(2)})`;
}

function cpuCellWithSpread(results: Results, subject: Subject, load: LoadName): string {
  const values = windowsOf(results, subject, load).map((window) => window.cpuUs);
  const noise = values.length > 1 ? ` ±${Math.round(spread(values) * 100)} %` : '';
  return cpuCell(results, subject, load) + noise;
}

function p50Cell(results: Results, subject: Subject): string {
  const p50Us = p50UsOf(results, subject, 'one');
  return Number.isNaN(p50Us) ? '' : p50Us.toFixed(0);
}

function httpTable(results: Results): string {
  const rows = [...results.windows.keys()].map((subject) => [
    subject.name,
    ...(['get', 'post', 'big'] as const).map((load) => cpuCellWithSpread(results, subject, load)),
    p50Cell(results, subject),
  ]);
  return tableText(['', 'GET 200 B', 'POST 500 B', 'GET 1 MiB', 'p50 of one connection, us'], rows);
}

function tlsTable(results: Results): string {
  const rows = [...results.windows.keys()]
    .filter((subject) => subject.measuredOverTls)
    .map((subject) => {
      const problem = results.skippedOverTls.get(subject);
      if (problem !== undefined) return [subject.name, `not measured: ${problem}`, '', ''];
      const loads = ['tlsGet', 'tlsPost', 'tlsBig'] as const;
      return [subject.name, ...loads.map((load) => cpuCellWithSpread(results, subject, load))];
    });
  return tableText(['', 'GET 200 B', 'POST 500 B', 'GET 1 MiB'], rows);
}

function goalsTable(results: Results): string {
  const rows = verdictsOf(results).map(({ goal, measured, isMet }) => [
    goal.name,
    `at most ${formatFigure(goal.atMost, goal.unit)}`,
    formatFigure(measured, goal.unit),
    isMet ? 'met' : '**missed**',
  ]);
  return tableText(['', 'goal', 'measured', 'met/missed'], rows);
}

function extrasText({ start, extras }: Results): string {
  const lines = [`- Ready in ${Math.round(start.readyMs)} ms; ${round(start.rssIdleMb)} MiB resident when idle.`];
  if (extras !== undefined) {
    const { bulk, burst, routes, million } = extras;
    lines.push(
      `- 100 MiB down: +${round(bulk.downMb)} MiB resident at most; 100 MiB up: +${round(bulk.upMb)} MiB.`,
      `- 1,000 requests at once without a token: ${exchangesText(burst.exchanges)}, and all of them are sent within ${Math.round(burst.allSentMs)} ms of its response.`,
      routes === undefined
        ? '- 10,000 routes and tokens: not measured, Wakala did not start.'
        : `- 10 routes and tokens: ${routes.few.toFixed(1)} us; 10,000: ${routes.many.toFixed(1)} us, and ready in ${Math.round(routes.readyMs)} ms.`,
      `- ${million.requests.toLocaleString('en')} requests: ${round(million.grownMb)} MiB more resident than after warming up.`,
    );
  }
  return lines.join('\n');
}

function exchangesText(exchanges: number): string {
  return `${exchanges} ${exchanges === 1 ? 'exchange' : 'exchanges'}`;
}

function skippedText({ skipped }: Results): string {
  const lines = [...skipped].map(([subject, problem]) => `- ${subject.name}: ${problem}`);
  return lines.length === 0 ? '' : `Not measured:\n\n${lines.join('\n')}`;
}

// README.md

/** The part of README.md. `test/deploy/operations.test.ts` compares docs/operations.md with it. */
function readmeText(results: Results): string {
  return [readmeTable(results), readmeExtras(results), slowerText(results), methodText(results)].join('\n\n');
}

function readmeTable(results: Results): string {
  const peers = [...results.windows.keys()]
    .filter((subject) => subject.kind === 'peer' && subject !== HTTP_PROXY_3)
    .sort((a, b) => cpuUsOf(results, a, 'get') - cpuUsOf(results, b, 'get'))
    .map((subject) => [subject, subject.name] as const);
  const rows: (readonly [Subject, string])[] = [
    [WAKALA, '**Wakala**'],
    ...peers,
    [HTTP_PROXY_3, 'bare http-proxy-3'],
    [NGINX, 'nginx, static header'],
  ];
  return tableText(
    ['', 'GET 200 B', 'POST 500 B', 'GET 1 MiB', 'GET 200 B over TLS', 'one connection, p50'],
    rows.map(([subject, name]) => {
      const p50 = p50Cell(results, subject);
      const overTls = results.skippedOverTls.has(subject) ? 'not measured' : cpuCell(results, subject, 'tlsGet');
      const http = (['get', 'post', 'big'] as const).map((load) => cpuCell(results, subject, load));
      return [name, ...http, overTls, p50 === '' ? '' : `${p50} us`];
    }),
  );
}

function readmeExtras({ start, extras }: Results): string {
  const ready = `Ready in ${Math.round(start.readyMs)} ms, ${Math.round(start.rssIdleMb)} MiB resident at rest`;
  if (extras === undefined) return `${ready}.`;
  const { bulk, burst, routes, million } = extras;
  return [
    `${ready}, ${Math.round(Math.max(bulk.downMb, bulk.upMb, 0))} MiB more while 100 MiB go through.`,
    `${million.requests.toLocaleString('en')} requests change it by ${Math.round(million.grownMb)} MiB.`,
    ...(routes === undefined
      ? []
      : [
          `With 10,000 routes and tokens a request costs ${(routes.many / routes.few).toFixed(2)} times what it costs with 10, and the start takes ${Math.round(routes.readyMs).toLocaleString('en')} ms.`,
        ]),
    `1,000 requests that wait for one token cost ${exchangesText(burst.exchanges)}, and the last of them leaves ${Math.round(burst.allSentMs)} ms after it.`,
  ].join(' ');
}

const TITLES = { get: 'GET', post: 'POST', big: 'GET of 1 MiB' } as const;

/** Above this share of a peer's CPU, Wakala does not count as faster. */
const NOT_FASTER_RATIO = 0.85;

function slowerText(results: Results): string {
  const nginx = (load: LoadName) => ratiosOf(results, load).nginx.toFixed(2);
  const added = Math.round(addedP50Us(results));
  const latency = added > 0 ? `, and adds ${added} us to a request on a quiet connection` : '';
  const asFast = [...results.windows.keys()]
    .filter(({ kind }) => kind === 'peer')
    .flatMap((peer) => {
      const ratio = (load: LoadName) => cpuUsOf(results, WAKALA, load) / cpuUsOf(results, peer, load);
      const loads = (['get', 'post', 'big'] as const).filter((load) => ratio(load) > NOT_FASTER_RATIO);
      return loads.map((load) => `${peer.name} on a ${TITLES[load]} (${ratio(load).toFixed(2)})`);
    });
  return [
    `What is **not** faster: compared with nginx, Wakala takes ${nginx('get')} times the CPU on a GET, ${nginx('post')} times on a POST and ${nginx('big')} times on 1 MiB${latency}; nginx knows no tokens.`,
    ...(asFast.length > 0
      ? [`Nor, within 15 %, than ${asFast.join(', ')}; in brackets Wakala's CPU as a multiple of theirs.`]
      : []),
    "HAProxy is of nginx's kind and was not measured.",
  ].join(' ');
}

function methodText(results: Results): string {
  const spreads = [...results.windows.keys()].flatMap((subject) =>
    LOAD_NAMES.filter((load) => LOADS[load].connections > 1).flatMap((load) => {
      const values = windowsOf(results, subject, load).map((window) => window.cpuUs);
      return values.length > 1 ? [spread(values)] : [];
    }),
  );
  const rounds = windowsOf(results, WAKALA, 'get').length;
  return [
    `Median of ${rounds} rounds of \`npm run bench\` on ${machine().replace(', the proxy alone on one core.', ', each proxy alone on one core.')}`,
    `Half of the proxies' rounds lay at most ${Math.round(median(spreads) * 100)} % to either side, the widest ${Math.round(Math.max(...spreads) * 100)} %.`,
  ].join(' ');
}

// Markdown

/** A table as prettier writes it. */
function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, i) => (cells[i] ?? '').padEnd(width)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

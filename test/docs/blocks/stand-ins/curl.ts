import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, fstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * curl itself, which comes to the ports that a page's programs have (see `own-ports/node.mjs`), to the providers' hosts,
 * and to nothing else. It notes the status of each answer in STATUSES. `-N`, for an answer that never ends, is left when
 * nothing more comes, as a reader leaves it with Ctrl-C.
 */

const TIMED_OUT = 28;
const {
  OWN_PORTS = '',
  PROVIDER_HOSTS = '',
  RUNNING = '',
  STATUSES = '',
  STEPS = '',
  REAL_CURL = 'curl',
} = process.env;
const args = process.argv.slice(2);
const [port, ...names] = PROVIDER_HOSTS.split(' ');
/** How long a program that was started may take until it listens. */
const PATIENCE_MS = 20_000;

await untilListening(args);

const places = [
  ...readdirSync(OWN_PORTS).map((written) => {
    const [real = ''] = readFileSync(path.join(OWN_PORTS, written), 'utf8').split(' ');
    return `:${written}:127.0.0.1:${real}`;
  }),
  ...names.map((name) => `${name}:443:127.0.0.1:${port}`),
  '::127.0.0.1:1',
];
const isEndless = args.some((arg) => /^-[a-zA-Z]*N/.test(arg));
const asks = args.some((arg) => /^(-w|--write-out)/.test(arg));
const MARK = 'status of this call: ';

const { status, stderr } = spawnSync(
  REAL_CURL,
  [
    ...places.flatMap((place) => ['--connect-to', place]),
    ...(isEndless ? ['--max-time', '1'] : []),
    ...(asks ? [] : ['--write-out', `%{stderr}${MARK}%{http_code}\n`]),
    ...args,
  ],
  { stdio: ['inherit', 'inherit', 'pipe'], encoding: 'utf8' },
);
for (const line of stderr.split(/(?<=\n)/)) {
  const [words = '', code] = line.split(MARK);
  process.stderr.write(words);
  if (code !== undefined) appendFileSync(STATUSES, code);
}
if (isShown()) process.stdout.write('\n');
process.exitCode = isEndless && status === TIMED_OUT ? 0 : (status ?? 1);

/** A program may say that it runs before all of it listens; a reader would wait as well. */
async function untilListening(words: readonly string[]): Promise<void> {
  const [, wanted = ''] =
    /^https?:\/\/(?:127\.0\.0\.1|localhost):(\d+)/.exec(words.find((word) => /^http/.test(word)) ?? '') ?? [];
  const until = Date.now() + PATIENCE_MS;
  const mayCome = () => readdirSync(RUNNING).length > 0 && Date.now() < until;
  while (wanted !== '' && !existsSync(path.join(OWN_PORTS, wanted)) && mayCome()) await sleep(20);
}

/** Whether the answer went to the page, where the next command begins a line: an answer may end without one. */
function isShown(): boolean {
  const { ino } = fstatSync(1);
  return readdirSync(STEPS).some((name) => {
    const file = path.join(STEPS, name);
    return name.endsWith('.out') && statSync(file).ino === ino && /[^\n]$/.test(readFileSync(file, 'latin1'));
  });
}

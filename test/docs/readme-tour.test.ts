import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blocksOf, ROOT, sectionOf } from './documents.ts';

const HEADING = '## Sixty seconds';
const hasCurl = spawnSync('curl', ['--version']).status === 0;

/** The sixty seconds of the README, as a reader would go through them: every line runs, and says what is shown. */
describe.skipIf(!hasCurl)(`README.md, ${HEADING}`, () => {
  const tour = blocksOf('README.md').filter(({ text }) => sectionOf('README.md', HEADING).includes(text));
  const steps = tour.flatMap(({ language, text }, i) =>
    language === 'sh' ? [[text.trim(), tour[i + 1]?.text.trim() ?? ''] as const] : [],
  );
  let wakala: ChildProcess;
  const screen: string[] = [];
  let addresses: ReadonlyMap<string, string>;

  beforeAll(async () => {
    const args = ['dev', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
    wakala = spawn(process.execPath, [path.join(ROOT, 'src/cli.ts'), ...args], { cwd: ROOT });
    if (wakala.stdout === null) throw new Error('no stdout');
    for await (const line of createInterface({ input: wakala.stdout })) {
      screen.push(line);
      if (line.includes('Ctrl-C')) break;
    }
    addresses = new Map([
      ['127.0.0.1:8080', addressIn(/^ {2}proxy/)],
      ['127.0.0.1:9901', addressIn(/^ {2}dashboard/)],
      ['127.0.0.1:9914', addressIn(/\/paypack\/\*/)],
    ]);
  }, 60_000);

  afterAll(async () => {
    wakala.kill('SIGTERM');
    await once(wakala, 'exit');
  });

  function addressIn(pattern: RegExp): string {
    const line = screen.find((candidate) => pattern.test(candidate)) ?? '';
    return /http:\/\/(127\.0\.0\.1:\d+)/.exec(line)?.[1] ?? `no address in: ${screen.join('\n')}`;
  }

  /** Ports that others have are free ones here. */
  function withPorts(text: string): string {
    return [...addresses].reduce((changed, [written, real]) => changed.replaceAll(written, real), text);
  }

  it('shows lines of the screen as they are', () => {
    const shown =
      tour[0]?.text
        .trimEnd()
        .split('\n')
        .filter((line) => line !== '...') ?? [];
    expect(shown.length).toBeGreaterThan(5);
    for (const line of shown) expect(screen).toContain(withPorts(line));
  });

  it('has a few steps', () => {
    expect(steps.length).toBe(3);
  });

  it.each(steps)('%s', async (step, shown) => {
    const { stdout } = await promisify(execFile)('sh', ['-c', withPorts(step)]);
    const lines = stdout.split(/\r?\n/);
    for (const line of shown
      .trim()
      .split('\n')
      .filter((written) => written !== '...')) {
      if (line.startsWith('{') && !line.includes('...')) expect(keysOf(lines.at(-1))).toEqual(keysOf(line));
      else if (line.startsWith('{')) expect(lines.at(-1)).toContain(line.split('...')[0]);
      else expect(lines).toContain(line);
    }
  });
});

function keysOf(json = ''): string[] {
  return Object.keys(JSON.parse(json) as object);
}

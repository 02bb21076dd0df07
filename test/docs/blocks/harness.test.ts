import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Block } from '../documents.ts';
import { type ProviderHosts, startProviderHosts } from './provider-hosts.ts';
import { PageShell } from './shell.ts';

let hosts: ProviderHosts;
beforeAll(async () => {
  hosts = await startProviderHosts();
});
afterAll(() => hosts.close());

function block(text: string, marks: readonly [string, string][] = []): Block {
  return { file: 'page.md', line: 1, language: 'sh', heading: '', mark: marks[0]?.[0], marks: new Map(marks), text };
}

/** The shell of a page that has nothing in it yet. */
function page() {
  const shell = new PageShell(hosts);
  onTestFinished(() => shell.close());
  return {
    shell,
    /** @returns what it printed */
    run: async (...lines: string[]) => {
      await shell.run(block(`${lines.join('\n')}\n`));
      return shell.printed();
    },
  };
}

describe('a page', () => {
  it('goes on in the folder and with the variables of its last block', async () => {
    const { run } = page();
    await run('cd docs', 'word=there');
    expect(await run('basename "$PWD"', 'echo "$word"')).toBe('docs\nthere\n');
  });

  it('fails at the first line that fails', async () => {
    const { run } = page();
    await expect(run('echo before', 'false', 'echo after')).rejects.toThrow('it ended with 1, not with 0:\nbefore\n');
    await expect(run('true')).rejects.toThrow('ended');
  });

  it('may say how a block ends, and must be right', async () => {
    const { shell, run } = page();
    await shell.run(block('wakala check -c nowhere.yaml\n', [['exit', '3']]));
    await expect(shell.run(block('true\n', [['exit', '3']]))).rejects.toThrow('it ended with 0, not with 3');
    expect(await run('echo on')).toBe('on\n');
  });

  it('starts what serves, on ports of its own, and reads on', async () => {
    const [first, second] = [page(), page()];
    for (const { run } of [first, second]) expect(await run('wakala dev')).toContain('http://127.0.0.1:8080\n');
    const call = "curl -sS -i 'http://127.0.0.1:8080/paypack/transactions/list'";
    expect(await first.run(call)).toContain('wakala-token: fetched');
    expect(await second.run(call)).toContain('wakala-token: fetched');
  });

  it('ends a server whose port another one takes', async () => {
    const { run } = page();
    await run('wakala emulate paypack', 'wakala dev');
    await run("node -e \"require('http').createServer((_, res) => res.end('mine')).listen(8080)\"");
    expect(await run('curl -sS http://127.0.0.1:8080/')).toBe('mine\n');
  });

  it('reaches the hosts of providers, where emulators are, and no other', async () => {
    const { run } = page();
    expect(await run('wakala doctor mpesa')).toContain('sandbox.safaricom.co.ke gave out token');
    expect(await run('curl -sS -o /dev/null -w "%{http_code}" https://api.jeel.co/')).toMatch(/^\d{3}\n$/);
    await expect(run('curl -sS https://example.com/')).rejects.toThrow('it ended with 7');
  });
});

describe('a program that is played', () => {
  let shell: PageShell;
  beforeAll(() => {
    shell = new PageShell(hosts);
  });
  afterAll(() => shell.close());

  it.each([
    ['npm run nothing', 'has no script nothing'],
    ['npm install left-pad', 'nothing here uses the package left-pad'],
    ['npm ci --frozen', 'frozen'],
    ['docker build -f nowhere -t wakala:0.1.0 .', 'there is no file nowhere'],
    ['docker build -f deploy/Dockerfile --build-arg NOTHING=1 -t wakala:0.1.0 .', 'has no argument NOTHING'],
    ['docker run --rm wakala:0.1.0', 'there is no image wakala:0.1.0'],
    ['docker prune', 'it does not know prune'],
    ['kubectl -n nowhere create secret generic a --from-literal=b=c', 'namespaces "nowhere" not found'],
    ['kubectl delete pod a', 'it does not know delete pod a'],
    ['systemctl start nothing', 'nothing.service'],
    ['git checkout v9.9.9', 'there is no tag v9.9.9'],
  ])('refuses `%s`', async (command, words) => {
    await shell.run(block(`${command}\n`, [['exit', '64']]));
    expect(shell.printed()).toContain(words);
  });

  it('is there, or the program is not found', async () => {
    await shell.run(block('brew install wakala\n', [['exit', '127']]));
    expect(shell.printed()).toContain('not found');
  });

  it('runs a container with the files, variables and ports that it is given, and no others', async () => {
    const { run, shell } = page();
    await run('docker build -f deploy/Dockerfile -t wakala:0.1.0 .', 'mkdir -p config');
    await run(
      "printf 'listen: 0.0.0.0:8080\\nopen: true\\nroutes:\\n  /mpesa/*: { provider: mpesa }\\n' > config/proxy.config.yaml",
    );
    const dev = 'docker run -d --name dev -e NODE_ENV=development -v "$PWD/config:/etc/wakala:ro"';
    await run(`${dev} -p 127.0.0.1:18080:8080 wakala:0.1.0 dev`);
    expect(await run('curl -sS -o /dev/null -w "%{http_code}" http://127.0.0.1:18080/nowhere')).toBe('404\n');
    expect(shell.listens(9901)).toBe(false);
    expect(await run('docker logs dev')).toContain('/etc/wakala/proxy.config.yaml');
  });
});

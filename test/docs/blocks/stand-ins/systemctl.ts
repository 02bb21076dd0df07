import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type Container, isRunning, logsOf, signal, start, stop } from '../played/container.ts';
import { expectFile, expectThat, play } from '../played/play.ts';

/** systemd's: units run Wakala as their file says, with its credentials and variables. What hardens them is not tried. */

const { MACHINE = '' } = process.env;
const CLI = '/dist/cli.js';
const NOW = { now: { type: 'boolean' } } as const;

await play('systemctl', {
  'daemon-reload': { run: () => undefined },
  enable: { options: NOW, run: ([unit = ''], { now }) => (now === true ? started(unit) : void containerOf(unit)) },
  disable: {
    options: NOW,
    run: ([unit = ''], { now }) => (now === true ? stop(unit) : void containerOf(unit)),
  },
  start: { run: ([unit = '']) => started(unit) },
  stop: { run: ([unit = '']) => stop(unit) },
  restart: {
    run: async ([unit = '']) => {
      await stop(unit);
      started(unit);
    },
  },
  reload: { run: ([unit = '']) => signal(unit, 'HUP') },
  'is-active': { run: ([unit = '']) => void process.stdout.write(isRunning(unit) ? 'active\n' : 'inactive\n') },
});

function started(unit: string): void {
  expectThat(start(containerOf(unit)) === 0, `${unit} did not start:\n${logsOf(unit)}`);
}

/** What its file in /etc/systemd/system says, and what drop-ins add to it. */
function containerOf(unit: string): Container {
  const file = here(`/etc/systemd/system/${unit}.service`);
  expectFile(file);
  const settings = [...readFileSync(file, 'utf8').matchAll(/^(\w+)=(.*)$/gm)].map(([, key, value = '']) => [
    key,
    value,
  ]);
  const all = (key: string) => settings.filter(([name]) => name === key).map(([, value = '']) => value);
  const [, cli = '', ...args] = all('ExecStart')[0]?.split(' ') ?? [];
  expectThat(cli.endsWith(CLI) && existsSync(here(cli)), `${unit} starts ${cli}, which is not there`);
  const credentials = all('LoadCredential').map((value) => {
    const [name = '', source = ''] = value.split(':');
    expectFile(here(source));
    return [`/run/credentials/${unit}.service/${name}`, here(source)] as const;
  });
  const env = all('Environment').flatMap((value) =>
    value.split(' ').map((pair) => pair.split('=') as [string, string]),
  );
  const mounts = new Map([...credentials, ['/etc/wakala', here('/etc/wakala')] as const]);
  return { name: unit, args, env: Object.fromEntries(env), mounts, network: 'host' };
}

function here(file: string): string {
  return path.join(MACHINE, file.replace(MACHINE, ''));
}

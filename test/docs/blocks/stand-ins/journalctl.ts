import { logsOf } from '../played/container.ts';
import { expectThat, play } from '../played/play.ts';

const OPTIONS = {
  unit: { type: 'string', short: 'u' },
  output: { type: 'string', short: 'o' },
  lines: { type: 'string', short: 'n' },
  follow: { type: 'boolean', short: 'f' },
  since: { type: 'string' },
} as const;

/** The log of a unit that `systemctl` started. */
await play('journalctl', {
  '': {
    options: OPTIONS,
    run: (_, { unit, output, lines }) => {
      expectThat(typeof unit === 'string' && output === 'cat', 'it knows `-u UNIT -o cat` alone');
      const all = logsOf(unit).trimEnd().split('\n');
      process.stdout.write(`${all.slice(lines === undefined ? 0 : -Number(lines)).join('\n')}\n`);
    },
  },
});

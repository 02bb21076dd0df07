import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';

/** What to type after the files are written, for a POSIX shell in the folder where `wakala init` ran. */
export function nextSteps(file: string): string {
  const beside = (name: string) => shellWord(join(dirname(file), name));
  const named = file === 'proxy.config.yaml' ? '' : ` -c ${shellWord(file)}`;
  const env = beside('.env');
  const sourced = isAbsolute(file) ? env : shellWord(`./${join(dirname(file), '.env')}`);
  const steps = [
    [`wakala dev${named}`, 'try it at once: emulated providers, no credentials'],
    existsSync(join(dirname(file), '.env'))
      ? [`"\${EDITOR:-vi}" ${env}`, `add the variables of ${beside('.env.example')}`]
      : [`cp ${beside('.env.example')} ${env}`, 'then fill in the credentials'],
    [`set -a; . ${sourced}; set +a`, 'Wakala reads the environment, not .env'],
    [`wakala check${named}`, 'is the configuration good?'],
    [`wakala doctor${named}`, 'do the providers take the credentials?'],
    [`wakala${named}`, 'run the proxy'],
  ];
  const width = Math.max(...steps.map(([command = '']) => command.length));
  return `\nNext:\n${steps.map(([command = '', why = '']) => `  ${command.padEnd(width)}  # ${why}\n`).join('')}`;
}

function shellWord(text: string): string {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

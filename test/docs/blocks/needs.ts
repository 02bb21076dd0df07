import { hasTool } from '../../support/tools.ts';
import { hasPython } from './python.ts';

/** Programs that run for real, by the words in a page that need them. */
const NEEDS = [
  [/\bkubectl\b/, () => hasTool('kubectl')],
  [/\bdocker compose\b/, () => hasTool('docker-compose') && hasTool('redis-server')],
  [/\bjq\b/, () => hasTool('jq')],
  [/\bcurl\b/, () => hasTool('curl')],
  [/\bopenssl\b/, () => hasTool('openssl')],
  [/\bpython3\b/, hasPython],
] as const;

/** Whether this machine has what these commands of a page need; in CI it must. */
export function hasToolsFor(commands: readonly string[]): boolean {
  return NEEDS.filter(([word]) => commands.some((text) => word.test(text))).every(([, isThere]) => isThere());
}

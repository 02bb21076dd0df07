/**
 * Node's and V8's settings for traffic (docs/decisions/0007-speed.md).
 *
 * `max-semi-space-size`: the space of objects that just came into being, MiB. By default it grows to 64, and the buffers
 * of a large answer lie in it until it is full; at 2 they are used again while the processor still has them at hand.
 * `v8-pool-size`: threads that help to compile and to collect. There is not much of either.
 * `disable-sigusr1`: this signal would open a debugger on a loopback port, which hands tokens to every user of the machine.
 */
const SETTINGS = ['--max-semi-space-size=2', '--v8-pool-size=1', '--disable-sigusr1'];

/** Commands that carry traffic until they are stopped; `serve` also goes without its name. */
const LASTING = new Set(['serve', 'dev', undefined]);

const ASKS = new Set(['-h', '--help', '-V', '--version']);

/**
 * Replaces this process by itself, under the same id, with settings that are taken at the start only. Where that cannot
 * be done (Windows), it goes on as it is. A setting that someone chose stays theirs.
 */
export function relaunchIfLasting(args: readonly string[]): void {
  const [first] = args;
  const command = first?.startsWith('-') === true ? undefined : first;
  if (!LASTING.has(command) || args.some((arg) => ASKS.has(arg))) return;
  const chosen = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ').replaceAll('_', '-');
  const missing = SETTINGS.filter((setting) => !chosen.includes(setting.split('=', 1)[0] ?? ''));
  // A parent that talks to it over a channel would lose it.
  if (missing.length === 0 || process.channel !== undefined || process.execve === undefined) return;
  const commandLine = [process.execPath, ...missing, ...process.execArgv, ...process.argv.slice(1)];
  try {
    process.execve(process.execPath, commandLine, process.env);
  } catch {
    // It runs as well without.
  }
}

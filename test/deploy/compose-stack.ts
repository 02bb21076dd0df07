import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { ROOT } from '../docs/documents.ts';
import { freePort } from '../support/free-port.ts';
import { CliProcess, temporaryDirectory } from '../support/proxy-process.ts';
import { type Compose, mountsOf, secretsOf, type Service } from './compose-file.ts';

/** Paths of the image. */
const IMAGE = new Map([
  ['/nodejs/bin/node', process.execPath],
  ['/app/dist/cli.js', path.join(ROOT, 'src/cli.ts')],
]);
const CONFIG = '/etc/wakala';
const EMULATED = { mpesa: 9912, paypack: 9914 } as const;

/**
 * The services of a Compose file as processes on this machine: the same commands, configuration, healthchecks and
 * secrets, but on free loopback ports in place of names, and with other paths.
 */
export class ComposeStack {
  readonly #compose: Compose;
  readonly #folder = temporaryDirectory();
  /** What stands in a file or command, and what it is here. */
  readonly #here = new Map<string, string>([['0.0.0.0', '127.0.0.1']]);
  readonly redisPort: number;
  readonly adminPort: number;
  wakalaPort = 0;

  private constructor(compose: Compose, redisPort: number, adminPort: number) {
    this.#compose = compose;
    this.redisPort = redisPort;
    this.adminPort = adminPort;
    mkdirSync(path.join(this.#folder, 'secrets'));
    for (const [name, { file }] of Object.entries(compose.secrets)) {
      cpSync(path.join(ROOT, 'deploy', file), this.#secretFile(name));
    }
  }

  static async prepare(compose: Compose): Promise<ComposeStack> {
    return new ComposeStack(compose, await freePort(), await freePort());
  }

  secret(name: string): string {
    return readFileSync(this.#secretFile(name), 'utf8').trim();
  }

  /** Starts Redis as its command says. */
  async redis(): Promise<void> {
    const [shell = '', ...args] = this.#words('redis', this.#service('redis').command ?? []);
    const own = `redis-server --port ${this.redisPort} --bind 127.0.0.1 --dir ${this.#folder}`;
    const child = spawn(
      shell,
      args.map((text) => text.replace('redis-server', own)),
      { stdio: 'ignore' },
    );
    endWithTest(child);
    await vi.waitFor(() => this.#mustBeHealthy('redis'), { timeout: 10_000 });
  }

  /** Starts the emulators on ports of their own. */
  async emulators(): Promise<void> {
    const { command = [], environment = {} } = this.#service('emulators');
    const cli = new CliProcess([...command, '--free-ports', '--json'], { env: environment });
    const [line] = await cli.until(/^\{.*\}$/m);
    const { emulators } = JSON.parse(line) as { emulators: { provider: keyof typeof EMULATED; api: string }[] };
    for (const { provider, api } of emulators) {
      this.#here.set(`127.0.0.1:${EMULATED[provider]}`, new URL(api).host);
    }
  }

  async wakala(): Promise<CliProcess> {
    const service = this.#service('wakala');
    const config = path.join(this.#folder, 'config');
    cpSync(mountsOf(service).get(CONFIG) ?? '', config, { recursive: true });
    this.#here.set('redis:6379', `127.0.0.1:${this.redisPort}`);
    this.#here.set('0.0.0.0:8080', '127.0.0.1:0').set('0.0.0.0:9901', `127.0.0.1:${this.adminPort}`);
    this.#here.set(CONFIG, config);
    const file = path.join(config, 'proxy.config.yaml');
    writeFileSync(file, this.#toHere('wakala', readFileSync(file, 'utf8')));
    const cli = new CliProcess(service.command ?? [], { env: this.#imageEnv() });
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
    this.wakalaPort = Number(port);
    this.#here.set('wakala:8080', `127.0.0.1:${port}`);
    return cli;
  }

  /** Starts the app. @returns its address */
  async app(): Promise<string> {
    const { environment = {}, working_dir: folder = '', command = [] } = this.#service('app');
    const entries = Object.entries(environment).map(([name, value]) => [name, this.#toHere('app', value)]);
    const [, ...args] = this.#words('app', command);
    const child = spawn(process.execPath, args, {
      cwd: this.#toHere('app', folder),
      env: { ...(Object.fromEntries(entries) as Record<string, string>), PORT: '0' },
    });
    endWithTest(child);
    return await new Promise((resolve, reject) => {
      child.stderr.on('data', (chunk) => reject(new Error(String(chunk))));
      child.stdout.on('data', (chunk) => resolve(String(chunk).trim()));
    });
  }

  /** Runs the healthcheck of a service. @returns its exit code */
  health(name: string): number | null {
    const [kind, ...words] = this.#words(name, this.#service(name).healthcheck?.test ?? []);
    const [program = '', ...args] = kind === 'CMD-SHELL' ? ['sh', '-c', ...words] : words;
    const own = args.map((text) => text.replace('redis-cli', `redis-cli -p ${this.redisPort}`));
    return spawnSync(program, own, { env: { ...process.env, ...this.#imageEnv() } }).status;
  }

  #mustBeHealthy(name: string): void {
    const status = this.health(name);
    if (status !== 0) throw new Error(`the healthcheck of ${name} ends with ${status}`);
  }

  #imageEnv(): Record<string, string> {
    return { NODE_ENV: 'production', WAKALA_CONFIG: this.#toHere('wakala', `${CONFIG}/proxy.config.yaml`) };
  }

  #service(name: string): Service {
    const service = this.#compose.services[name];
    if (service === undefined) throw new Error(`there is no service ${name}`);
    return service;
  }

  #secretFile(name: string): string {
    return path.join(this.#folder, 'secrets', name);
  }

  /** The words of a command, where `$$` is Compose's spelling of `$`. */
  #words(name: string, words: readonly string[]): string[] {
    return words.map((word) => this.#toHere(name, word.replaceAll('$$', '$')));
  }

  #toHere(name: string, text: string): string {
    const service = this.#service(name);
    const secrets = [...secretsOf(service)].map(([target, source]) => [target, this.#secretFile(source)] as const);
    const known = [...secrets, ...this.#here, ...IMAGE, ...mountsOf(service)];
    // The longest first: one may be the beginning of another.
    known.sort(([one], [other]) => other.length - one.length);
    return known.reduce((replaced, [there, here]) => replaced.replaceAll(there, here), text);
  }
}

function endWithTest(child: ChildProcess): void {
  onTestFinished(() => void child.kill('SIGKILL'));
}

import { once } from 'node:events';
import { chownSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { Agent, request } from 'undici';
import { Child } from './child.ts';
import type { Podman } from './podman.ts';
import { Upstream } from './upstream.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const ANY_LENGTH = 300 * 1024 * 1024;

interface Emulator {
  readonly api: string;
  readonly auth: string;
  readonly credentials: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** What stands around the container: its configuration, an emulated provider, an API, and a client. */
export class Scene {
  readonly upstream: Upstream;
  readonly config: MountedFiles;
  readonly secrets: MountedFiles;
  readonly agent = new Agent({ connections: null, pipelining: 1 });
  readonly #emulators: Child;
  readonly #emulator: Emulator;
  readonly #port: number;
  readonly #adminPort: number;
  /** What the client calls with, and no output may show. */
  clientKey = 'made-up-key-of-the-shop';

  static async set(podman: Podman): Promise<Scene> {
    // It must not outlive this process.
    const node = ['setpriv', '--pdeathsig=KILL', process.execPath, path.join(ROOT, 'src/cli.ts')];
    const emulators = new Child([...node, 'emulate', 'paypack', '--free-ports', '--json']);
    const [line] = await emulators.until(/^\{.*\}$/m);
    const [emulator] = (JSON.parse(line) as { emulators: Emulator[] }).emulators;
    if (emulator === undefined) throw new Error('no emulator started');
    const ports = [await freePort(), await freePort()] as const;
    return new Scene(podman, await Upstream.start(), emulators, emulator, ports);
  }

  private constructor(
    podman: Podman,
    upstream: Upstream,
    emulators: Child,
    emulator: Emulator,
    [port, adminPort]: readonly [number, number],
  ) {
    this.upstream = upstream;
    this.#emulators = emulators;
    this.#emulator = emulator;
    this.#port = port;
    this.#adminPort = adminPort;
    this.config = new MountedFiles(podman.volume('/etc/wakala'));
    this.secrets = new MountedFiles(podman.volume('/run/secrets/wakala'));
    this.writeSecrets();
    this.config.write({ 'proxy.config.yaml': this.configuration() });
  }

  /** As docs/container.md has it: open to the network, with keys for its clients, and every secret in a file. */
  configuration(more = ''): string {
    const secret = (name: string) => `\${file:/run/secrets/wakala/${name}}`;
    const { api, auth } = this.#emulator;
    return `listen: 0.0.0.0:${this.#port}
admin: 0.0.0.0:${this.#adminPort}
clients: [{ name: shop, key: '${secret('shop_key')}' }]
tracing: { otlp: '${this.upstream.origin}' }
routes:
  /paypack/*:
    provider: paypack
    upstream: ${api}
    auth_server: ${auth}
    credentials: { client_id: '${secret('client_id')}', client_secret: '${secret('client_secret')}' }
  /files/*:
    provider: static
    upstream: ${this.upstream.origin}
    max_body: ${ANY_LENGTH}
    credentials: { token: '${secret('token')}' }
${more}`;
  }

  writeSecrets(): void {
    this.secrets.write({ ...this.#emulator.credentials, token: this.token, shop_key: this.clientKey });
  }

  readonly token = 'made-up-token-of-the-files';

  /** What no output may show. */
  get secretValues(): string[] {
    return [this.clientKey, this.token, this.#emulator.credentials['client_secret'] ?? ''];
  }

  async call(target: string, key = this.clientKey): Promise<Answer> {
    const { statusCode, headers, body } = await request(this.url(target), {
      dispatcher: this.agent,
      headers: { authorization: `Bearer ${key}` },
    });
    return { status: statusCode, headers, body: await body.text() };
  }

  url(target: string): string {
    return `http://127.0.0.1:${this.#port}${target}`;
  }

  /** @returns the status of `/readyz`, or undefined if nothing answers */
  async readiness(): Promise<number | undefined> {
    try {
      const { statusCode, body } = await request(`http://127.0.0.1:${this.#adminPort}/readyz`, { reset: true });
      await body.dump();
      return statusCode;
    } catch {
      return undefined;
    }
  }

  /** Has the emulated provider forget every token that it gave out. */
  async expireTokens(): Promise<void> {
    const body = JSON.stringify({ expire_tokens: true });
    const { statusCode, body: answer } = await request(`${new URL(this.#emulator.api).origin}/_emulator`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    await answer.dump();
    if (statusCode !== 200) throw new Error(`the emulator answered ${statusCode}`);
  }

  async close(): Promise<void> {
    await this.agent.destroy();
    this.upstream.close();
    this.#emulators.kill('SIGTERM');
    await this.#emulators.exited;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The image's user. */
const USER = 65532;

/**
 * Files in a directory as Kubernetes lays out those of a ConfigMap or Secret: each is a link through `..data`, which is
 * a link to a directory of its own for each version, and changes for all files in one step.
 */
class MountedFiles {
  readonly #directory: string;
  #version = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Puts these files in the place of all former ones. Only the image's user may read them. */
  write(files: Readonly<Record<string, string>>): void {
    const former = `..version_${this.#version}`;
    const version = `..version_${++this.#version}`;
    mkdirSync(this.#at(version));
    for (const [name, content] of Object.entries(files)) {
      const file = this.#at(version, name);
      writeFileSync(file, content, { mode: 0o400 });
      chownSync(file, USER, USER);
    }
    symlinkSync(version, this.#at('..data_tmp'));
    renameSync(this.#at('..data_tmp'), this.#at('..data'));
    if (this.#version > 1) rmSync(this.#at(former), { recursive: true });
    else for (const name of Object.keys(files)) symlinkSync(path.join('..data', name), this.#at(name));
  }

  #at(...names: string[]): string {
    return path.join(this.#directory, ...names);
  }
}

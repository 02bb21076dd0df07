import { randomBytes } from 'node:crypto';
import type { IContainer } from 'kubernetes-models/v1/Container';
import { ConfigMap as MountedMap } from '../../server/support.ts';
import { freePort } from '../../support/free-port.ts';
import { CliProcess } from '../../support/proxy-process.ts';
import { configIn, type Manifest, portOf, wakalaIn } from './manifests.ts';

const SECRETS = '/run/secrets/wakala';
const CONFIG = '/etc/wakala';

/** Names of the secret files that a configuration reads. */
export function secretsIn(config: string): string[] {
  const names = [...config.matchAll(/\$\{file:\/run\/secrets\/wakala\/(\w+)\}/g)].map(([, name = '']) => name);
  return [...new Set(names)].sort();
}

/** A key or password as the documentation tells people to make them. */
export function madeUp(): string {
  return `made-up-${randomBytes(16).toString('hex')}`;
}

/** A Redis on this machine in place of the cluster's. */
interface Redis {
  readonly port: number;
  readonly password: string;
}

/** Wakala as a manifest's container runs it: its arguments, variables and mounts, on free ports of this machine. */
export class PodProcess {
  readonly container: IContainer;
  readonly cli: CliProcess;
  readonly config: MountedMap;
  readonly secretFiles: MountedMap;
  readonly secrets: Readonly<Record<string, string>>;
  readonly #manifests: readonly Manifest[];
  readonly #ports: ReadonlyMap<number, number>;
  readonly #redisPort: number;

  private constructor(manifests: readonly Manifest[], ports: ReadonlyMap<number, number>, redis: Redis) {
    const text = configIn(manifests);
    this.#manifests = manifests;
    this.#ports = ports;
    this.#redisPort = redis.port;
    this.container = wakalaIn(manifests).container;
    const secrets = Object.fromEntries(secretsIn(text).map((name) => [name, madeUp()]));
    this.secrets = 'redis_password' in secrets ? { ...secrets, redis_password: redis.password } : secrets;
    this.secretFiles = new MountedMap(this.secrets);
    this.config = new MountedMap({ 'proxy.config.yaml': this.#toHere(text) });
    const { args = [], env = [] } = this.container;
    const host = /^listen: ([\d.]+):8080$/m.exec(text)?.[1] ?? '';
    const addresses = ['--listen', `${host}:${this.port}`, '--admin', `0.0.0.0:${this.adminPort}`];
    this.cli = new CliProcess([...args.map((arg) => arg.replace(CONFIG, this.config.path)), ...addresses], {
      env: Object.fromEntries(env.map(({ name, value = '' }) => [name, value])),
    });
  }

  /** Started, and listening. Without a Redis given there is none. */
  static async start(manifests: readonly Manifest[], redis?: Redis): Promise<PodProcess> {
    const ports = new Map([
      [8080, await freePort()],
      [9901, await freePort()],
    ]);
    const pod = new PodProcess(manifests, ports, redis ?? { port: await freePort(), password: madeUp() });
    await pod.cli.until(/"event":"ready"/);
    return pod;
  }

  get port(): number {
    return this.#ports.get(8080) ?? 0;
  }

  get adminPort(): number {
    return this.#ports.get(9901) ?? 0;
  }

  /** Where a port of the container is on this machine. */
  hostPort(port: string | number | undefined): number {
    return this.#ports.get(portOf(this.container, port) ?? 0) ?? 0;
  }

  /** Swaps the mounted configuration for another, as the kubelet does. */
  reconfigure(change: (text: string) => string): void {
    this.config.swap({ 'proxy.config.yaml': this.#toHere(change(configIn(this.#manifests))) });
  }

  #toHere(text: string): string {
    return text
      .replaceAll(SECRETS, this.secretFiles.path)
      .replace('@wakala-redis:6379', `@127.0.0.1:${this.#redisPort}`);
  }
}

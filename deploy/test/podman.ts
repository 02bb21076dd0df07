import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { cgroupMemory } from './cgroup.ts';
import { Child, finish, type Finished, output } from './child.ts';
import type { Engine, ImageSettings, Memory, Running } from './engine.ts';
import type { Recipe } from './recipe.ts';

const IMAGE = 'localhost/wakala:0.1.0';
const BUILDER = 'localhost/builder:test';
const RUNTIME = 'localhost/runtime:test';
// Podman asks for more files and processes than it may have, unless told.
const ULIMITS = ['--ulimit=nofile=4096:4096', '--ulimit=nproc=1024:1024'];
const LIMITS = ['--memory=256m', '--memory-swap=256m', '--pids-limit=100', ...ULIMITS];
const LOCKED = [
  '--read-only',
  '--read-only-tmpfs=false',
  '--cap-drop=all',
  '--security-opt=no-new-privileges',
  '--network=host',
];

/** Podman with storage, locks and settings of its own below a directory, so that nobody else's are touched. */
export class Podman implements Engine {
  readonly isContainer = true;
  readonly name: string;
  readonly #directory: string;
  readonly #volumes = new Map<string, string>();
  readonly #environment: NodeJS.ProcessEnv;
  #settings: ImageSettings | undefined;
  #root = '';
  #count = 0;

  /** @param driver `overlay` or `vfs`; @param runtime `crun` or `runc` */
  constructor(directory: string, version: string, driver: string, runtime: string) {
    this.name = `${version}, ${runtime}, ${driver}`;
    this.#directory = directory;
    this.#environment = { ...process.env, ...configured(directory, driver, runtime) };
  }

  /** Looks into this root file system, and runs something in a container of it, locked up. Throws if it cannot. */
  async probe(runtimeTar: string): Promise<void> {
    const { code } = await finish(['podman', 'image', 'exists', RUNTIME], { env: this.#environment });
    if (code !== 0) await this.#podman(['import', '--quiet', runtimeTar, RUNTIME]);
    await this.#podman(['image', 'mount', RUNTIME]);
    await this.#podman(['run', '--rm', '--user=65532', ...this.#locked(), RUNTIME, '/nodejs/bin/node', '--version']);
  }

  async build({ context, dockerfile, builderTar, npmrc, certificates, args }: Recipe): Promise<void> {
    await this.#podman(['import', '--quiet', builderTar, BUILDER]);
    const bases = { BUILDER, BASE: RUNTIME };
    const passed = Object.entries({ ...bases, ...args }).map(([name, value]) => `--build-arg=${name}=${value}`);
    const mounts = [`${npmrc}:/root/.npmrc:ro`, `${certificates}:${certificates}:ro`].map((at) => `--volume=${at}`);
    // Image format docker: that of OCI has no place for a HEALTHCHECK.
    const options = [
      '--format=docker',
      '--isolation=chroot',
      '--jobs=2',
      '--layers=false',
      '--network=host',
      ...mounts,
      ...passed,
    ];
    await this.#podman(['build', ...options, `--file=${dockerfile}`, `--tag=${IMAGE}`, context], true);
    this.#settings = settingsOf(await this.#podman(['image', 'inspect', IMAGE]));
    this.#root = await this.#podman(['image', 'mount', IMAGE]);
  }

  get settings(): ImageSettings {
    if (this.#settings === undefined) throw new Error('there is no image');
    return this.#settings;
  }

  get root(): string {
    return this.#root;
  }

  volume(target: string): string {
    const directory = path.join(this.#directory, 'volumes', target);
    mkdirSync(directory, { recursive: true });
    this.#volumes.set(target, directory);
    return directory;
  }

  run(args: readonly string[], user = this.settings.user): Promise<Finished> {
    const command = ['podman', 'run', '--rm', `--user=${user}`, ...this.#locked(), IMAGE, ...args];
    return finish(command, { env: this.#environment });
  }

  async start(args: readonly string[]): Promise<Running> {
    const name = `wakala-${++this.#count}`;
    const command = ['podman', 'run', '--rm', `--name=${name}`, ...this.#locked(), IMAGE, ...args];
    const child = new Child(command, { env: this.#environment });
    await child.until(/"event":"ready"/);
    const pid = Number(await this.#podman(['inspect', '--format={{.State.Pid}}', name]));
    return {
      output: child,
      pid,
      healthcheck: () => finish(['podman', 'healthcheck', 'run', name], { env: this.#environment }),
      stop: async () => {
        await this.#podman(['stop', '--time=30', name]);
        return child.exited;
      },
      memory: (): Memory | undefined => cgroupMemory(pid),
      changes: async () => changed(await this.#podman(['diff', name]), [...this.#volumes.keys()]),
    };
  }

  async close(): Promise<void> {
    await this.#podman(['rm', '--force', '--all']);
    await this.#podman(['image', 'unmount', '--all']);
  }

  #locked(): string[] {
    const volumes = [...this.#volumes].map(([target, directory]) => `--volume=${directory}:${target}:ro`);
    return [...LOCKED, ...LIMITS, ...volumes];
  }

  #podman(args: readonly string[], loud = false): Promise<string> {
    return output(['podman', ...args], { env: this.#environment, loud });
  }
}

/** Writes podman's configuration. @returns the variables that point to it */
function configured(directory: string, driver: string, runtime: string): NodeJS.ProcessEnv {
  const at = (name: string) => path.join(directory, name);
  for (const name of ['tmp', 'run/libpod']) mkdirSync(at(name), { recursive: true });
  const containers = `
    [containers]
    log_driver = "none"
    [engine]
    cgroup_manager = "cgroupfs"
    events_logger = "none"
    lock_type = "file"
    runtime = "${runtime}"
    tmp_dir = "${at('run/libpod')}"`;
  const storage = `
    [storage]
    driver = "${driver}"
    graphroot = "${at('storage')}"
    runroot = "${at('run/storage')}"`;
  writeFileSync(at('containers.conf'), containers);
  writeFileSync(at('storage.conf'), storage);
  return {
    CONTAINERS_CONF: at('containers.conf'),
    CONTAINERS_STORAGE_CONF: at('storage.conf'),
    TMPDIR: at('tmp'),
    // No timers for health checks: they are run by hand.
    DISABLE_HC_SYSTEMD: 'true',
  };
}

function settingsOf(inspected: string): ImageSettings {
  interface Inspected {
    readonly Healthcheck?: { readonly Test: readonly string[] };
    readonly Config: {
      readonly User: string;
      readonly Entrypoint: readonly string[];
      readonly Cmd: readonly string[];
      readonly Env: readonly string[];
      readonly ExposedPorts: Readonly<Record<string, unknown>>;
      readonly Labels: Readonly<Record<string, string>>;
      readonly StopSignal: string;
    };
  }
  const [image] = JSON.parse(inspected) as Inspected[];
  if (image === undefined) throw new Error('there is no image');
  const { Config: config, Healthcheck: health } = image;
  return {
    user: config.User,
    entrypoint: config.Entrypoint,
    command: config.Cmd,
    environment: config.Env,
    ports: Object.keys(config.ExposedPorts),
    labels: config.Labels,
    healthcheck: (health?.Test ?? []).slice(1),
    stopSignal: config.StopSignal,
  };
}

/** Lines of `podman diff` that are no mount point, nor a directory above one. */
function changed(diff: string, targets: readonly string[]): string[] {
  const made = ['/etc/hosts', '/etc/resolv.conf', '/etc/hostname', '/run/.containerenv', '/etc/mtab', ...targets];
  const paths = diff.split('\n').flatMap((line) => /^[ACD] (.+)$/.exec(line)?.[1] ?? []);
  return paths.filter((at) => !made.some((target) => target === at || target.startsWith(`${at}/`)));
}

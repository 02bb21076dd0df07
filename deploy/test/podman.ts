import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Child, finish, type Finished, output } from './child.ts';

/** What deploy/Dockerfile says of the image, as podman understood it. */
export interface ImageSettings {
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly environment: readonly string[];
  readonly ports: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly healthcheck: readonly string[];
  readonly stopSignal: string;
}

export interface Running {
  readonly output: Child;
  /** Of the program, on this machine. */
  readonly pid: number;
  /** Runs the image's own health check inside. */
  healthcheck(): Promise<Finished>;
  /** Stops it as `podman stop` does. @returns its exit code */
  stop(): Promise<number | null>;
  /** Of everything in it; undefined where the kernel counts nothing. */
  memory(): Memory | undefined;
  /** Paths below the root that are not as the image has them, mount points aside. */
  changes(): Promise<readonly string[]>;
}

export interface Memory {
  readonly limit: number;
  /** With what the kernel keeps of files, which it gives back under pressure. */
  readonly peak: number;
  readonly killed: number;
}

/** What is left of these bytes, in a figure. */
export function mebibytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
}

/** A field of /proc/PID/status: `VmRSS` (resident now) and `VmHWM` (at its highest) in bytes, the others as they stand. */
export function processStatus(pid: number): { resident: number; peak: number; field: (name: string) => string } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1] ?? '';
  const bytes = (name: string) => Number.parseInt(field(name), 10) * 1024;
  return { resident: bytes('VmRSS'), peak: bytes('VmHWM'), field };
}

/** What a build of the image is made from. */
export interface Recipe {
  /** The repository. */
  readonly context: string;
  readonly dockerfile: string;
  readonly builderTar: string;
  readonly runtimeTar: string;
  /** For the time of the build only; none of it is in the image. */
  readonly npmrc: string;
  /** The certificate authorities of this machine, at the path that `npmrc` names. */
  readonly certificates: string;
  readonly args: Readonly<Record<string, string>>;
}

/** Settings of npm that say how to reach the registry; all others have no say in what is installed. */
const ROUTES = /^(registry|@[^:=]+:registry|\/\/.*|proxy|https-proxy|noproxy|strict-ssl)\s*=/;

/** Writes an .npmrc with this machine's way to the registry. @returns the paths of it and of the CA bundle it names */
export async function npmSettings(directory: string): Promise<{ npmrc: string; certificates: string }> {
  const config = async (key: string) => {
    const value = await output(['npm', 'config', 'get', key]);
    return value === 'null' || value === 'undefined' ? '' : value;
  };
  const files = [await config('globalconfig'), await config('userconfig')];
  const lines = files.filter((file) => existsSync(file)).flatMap((file) => readFileSync(file, 'utf8').split('\n'));
  const { NODE_EXTRA_CA_CERTS: extra = '', SSL_CERT_FILE: bundle = '' } = process.env;
  const candidates = [await config('cafile'), extra, bundle, '/etc/ssl/certs/ca-certificates.crt'];
  const certificates = candidates.find((file) => file !== '' && existsSync(file));
  if (certificates === undefined) throw new Error('this machine has no bundle of certificate authorities');
  const settings = [...lines.filter((line) => ROUTES.test(line)), `registry=${await config('registry')}`];
  const npmrc = path.join(directory, 'npmrc');
  writeFileSync(npmrc, [...settings, `cafile=${certificates}`, ''].join('\n'), { mode: 0o600 });
  return { npmrc, certificates };
}

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
export class Podman {
  readonly name: string;
  readonly #directory: string;
  readonly #volumes = new Map<string, string>();
  readonly #environment: NodeJS.ProcessEnv;
  #settings: ImageSettings | undefined;
  #root = '';

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

  /** The image's root file system, to look at. */
  get root(): string {
    return this.#root;
  }

  /** A directory of this machine that the program sees at this path, and cannot write to. Before the first start only. */
  volume(target: string): string {
    const directory = path.join(this.#directory, 'volumes', target);
    mkdirSync(directory, { recursive: true });
    this.#volumes.set(target, directory);
    return directory;
  }

  /** Runs the image's entrypoint with these arguments to its end, as the image's user or another. */
  run(args: readonly string[], user = this.settings.user): Promise<Finished> {
    const command = ['podman', 'run', '--rm', `--user=${user}`, ...this.#locked(), IMAGE, ...args];
    return finish(command, { env: this.#environment });
  }

  /** Starts the image as it is. */
  async start(): Promise<Running> {
    const name = 'wakala';
    const command = ['podman', 'run', '--rm', `--name=${name}`, ...this.#locked(), IMAGE];
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

/** What the kernel counts of the control group that a process is in; undefined if it has no limit. Versions 1 and 2. */
function cgroupMemory(pid: number): Memory | undefined {
  const groups = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
  const [, first] = /^\d+:memory:(.*)$/m.exec(groups) ?? [];
  if (first !== undefined) {
    const read = reader(`/sys/fs/cgroup/memory${first}`);
    return limited({
      limit: Number(read('memory.limit_in_bytes')),
      peak: Number(read('memory.max_usage_in_bytes')),
      killed: count(read('memory.oom_control'), 'oom_kill'),
    });
  }
  const [, second = ''] = /^0::(.*)$/m.exec(groups) ?? [];
  const read = reader(`/sys/fs/cgroup${second}`);
  return limited({
    limit: Number(read('memory.max')),
    peak: Number(read('memory.peak') || read('memory.current')),
    killed: count(read('memory.events'), 'oom_kill'),
  });
}

function reader(directory: string): (name: string) => string {
  return (name) => (existsSync(`${directory}/${name}`) ? readFileSync(`${directory}/${name}`, 'utf8').trim() : '');
}

/** Without a limit there is `max`, or a number beyond any machine's memory. */
function limited(memory: Memory): Memory | undefined {
  return memory.limit > 0 && memory.limit < 2 ** 50 ? memory : undefined;
}

function count(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

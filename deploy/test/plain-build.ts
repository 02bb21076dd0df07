import { cpSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { output } from './child.ts';
import { assignment, assignments, type Dockerfile, type Instruction, type Stage, substitute } from './dockerfile.ts';
import type { ImageSettings } from './engine.ts';
import type { Recipe } from './recipe.ts';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** A stage so far. One that begins with another takes over its settings too. */
interface BuiltStage {
  readonly root: string;
  directory: string;
  environment: readonly string[];
}

/** Does what a Dockerfile says in plain directories, one for each stage, with no more than chroot. */
export class PlainBuild {
  readonly #directory: string;
  readonly #recipe: Recipe;
  readonly #arguments: ReadonlyMap<string, string>;
  readonly #stages = new Map<string, BuiltStage>();

  constructor(directory: string, recipe: Recipe, dockerfile: Dockerfile) {
    this.#directory = directory;
    this.#recipe = recipe;
    this.#arguments = new Map([...dockerfile.arguments, ...Object.entries(recipe.args)]);
  }

  /** @returns the root of the stage, and what its last instructions make of it as an image */
  async add(stage: Stage): Promise<{ root: string; settings: ImageSettings }> {
    const name = stage.name ?? 'image';
    const root = path.join(this.#directory, name);
    mkdirSync(root, { recursive: true });
    const built = await this.#begin(stage, root);
    this.#stages.set(name, built);
    return { root, settings: await this.#follow(stage, built) };
  }

  async #begin({ base, baseArgument }: Stage, root: string): Promise<BuiltStage> {
    if (baseArgument === undefined) {
      const former = this.#stage(base);
      await output(['cp', '-a', '--reflink=auto', `${former.root}/.`, root]);
      return { ...former, root };
    }
    const isBuilder = baseArgument === 'BUILDER';
    await output(['tar', '-xf', isBuilder ? this.#recipe.builderTar : this.#recipe.runtimeTar, '-C', root]);
    if (isBuilder) lendNetwork(root, this.#recipe);
    return { root, directory: '/', environment: [] };
  }

  async #follow(stage: Stage, built: BuiltStage): Promise<ImageSettings> {
    const values = new Map<string, string>();
    const labels: Record<string, string> = {};
    const last = new Map<Instruction['name'], string>();
    for (const { name, rest } of stage.instructions) {
      last.set(name, rest);
      if (name === 'ARG') {
        const [argument, value] = assignment(rest);
        values.set(argument, this.#arguments.get(argument) ?? value);
      } else if (name === 'WORKDIR') {
        built.directory = rest;
        mkdirSync(path.join(built.root, rest), { recursive: true });
      } else if (name === 'ENV') {
        built.environment = [...built.environment, ...assignments(rest).map((pair) => pair.join('='))];
      } else if (name === 'LABEL') {
        for (const [key, value] of assignments(rest)) labels[key] = substitute(value, values);
      } else if (name === 'COPY') {
        this.#copy(rest, built);
      } else if (name === 'RUN') {
        await run(rest, built, values);
      }
    }
    return { ...settingsOf(last), environment: built.environment, labels };
  }

  #copy(rest: string, { root, directory }: BuiltStage): void {
    const [, stage, files = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(rest) ?? [];
    const names = files.split(/\s+/);
    const target = names.pop() ?? '';
    const to = path.join(root, path.resolve(directory, target));
    const from = stage === undefined ? this.#recipe.context : this.#stage(stage).root;
    for (const name of names) {
      const source = path.join(from, name);
      const isInto = target.endsWith('/') && !statSync(source).isDirectory();
      const copy = isInto ? path.join(to, path.basename(name)) : to;
      cpSync(source, copy, { recursive: true, verbatimSymlinks: true });
    }
  }

  #stage(name: string): BuiltStage {
    const stage = this.#stages.get(name);
    if (stage === undefined) throw new Error(`there is no stage ${name}`);
    return stage;
  }
}

/** Name service, this machine's way to the npm registry and its certificate authorities, for a stage that is not kept. */
function lendNetwork(root: string, { npmrc, certificates }: Recipe): void {
  const lent = [
    ['/etc/resolv.conf', '/etc/resolv.conf'],
    ['/etc/hosts', '/etc/hosts'],
    [certificates, certificates],
    [npmrc, '/root/.npmrc'],
  ] as const;
  for (const [from, to] of lent) cpSync(from, path.join(root, to), { dereference: true });
}

async function run(rest: string, { root, directory, environment }: BuiltStage, values: ReadonlyMap<string, string>) {
  const command = rest.replace(/^(--mount=\S+\s+)+/, '');
  const proxies = Object.entries(process.env).filter(([name]) => /^(https?|no)_proxy$/i.test(name));
  const env = Object.fromEntries([...proxies, ...environment.map(assignment), ...values]);
  await output(['chroot', root, '/bin/sh', '-c', `cd ${directory} && ${command}`], {
    env: { PATH, HOME: '/root', ...env },
    loud: true,
  });
}

function settingsOf(last: ReadonlyMap<Instruction['name'], string>) {
  const text = (name: string) => last.get(name) ?? '';
  const list = (name: string): readonly string[] => {
    const [json] = /\[.*\]$/.exec(text(name)) ?? ['[]'];
    return JSON.parse(json) as string[];
  };
  return {
    user: text('USER'),
    entrypoint: list('ENTRYPOINT'),
    command: list('CMD'),
    ports: text('EXPOSE')
      .split(' ')
      .map((port) => `${port}/tcp`),
    healthcheck: list('HEALTHCHECK'),
    stopSignal: text('STOPSIGNAL'),
  };
}

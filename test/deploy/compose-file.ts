import path from 'node:path';
import { parse } from 'yaml';
import { ROOT, textOf } from '../docs/documents.ts';

/** Where the paths of deploy/compose.yaml, and of what is laid over it, start. */
export const FOLDER = path.join(ROOT, 'deploy');

export interface SecretUse {
  readonly source: string;
  readonly target?: string;
}

export interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly working_dir?: string;
  readonly user?: string;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly secrets?: readonly (string | SecretUse)[];
  readonly networks?: readonly string[];
  readonly network_mode?: string;
  readonly group_add?: readonly string[];
  readonly profiles?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_grace_period?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly mem_limit?: string;
}

export interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks?: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

/** Reads a Compose file of `deploy/`. */
export function readCompose(file: string): Compose {
  return parse(textOf(`deploy/${file}`)) as Compose;
}

/** What a service finds at which place: folders of the repository, by their path in the container. */
export function mountsOf({ volumes = [] }: Service): ReadonlyMap<string, string> {
  return new Map(
    volumes.map((volume) => {
      const [source = '', target = ''] = volume.split(':');
      return [target, path.join(FOLDER, source)];
    }),
  );
}

/** The names of the secrets that a service is given, by their path in the container. */
export function secretsOf({ secrets = [] }: Service): ReadonlyMap<string, string> {
  return new Map(
    secrets.map((use) => {
      const { source, target = source } = typeof use === 'string' ? { source: use } : use;
      return [path.posix.resolve('/run/secrets', target), source];
    }),
  );
}

/** A duration as Compose writes it, in milliseconds. */
export function milliseconds(duration = ''): number {
  const [, count, unit] = /^(\d+)(ms|s|m)$/.exec(duration) ?? [];
  return Number(count) * ({ ms: 1, s: 1000, m: 60_000 }[unit ?? ''] ?? NaN);
}

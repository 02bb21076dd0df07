import { readFileSync } from 'node:fs';
import type { Child, Finished } from './child.ts';

/** What deploy/Dockerfile says of the image, as the engine that built it understood it. */
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

/** Something that builds the image and runs it: a container engine, or what is left without one. */
export interface Engine {
  /** What it is, in a line. */
  readonly name: string;
  readonly isContainer: boolean;
  readonly settings: ImageSettings;
  /** The image's root file system, to look at. */
  readonly root: string;
  /** A directory of this machine that the program sees at this path, and cannot write to. Before the first start only. */
  volume(target: string): string;
  /** Runs the image's entrypoint with these arguments to its end, as the image's user or another. */
  run(args: readonly string[], user?: string): Promise<Finished>;
  /** Starts the image's entrypoint with these arguments, which may be none. */
  start(args: readonly string[]): Promise<Running>;
  close(): Promise<void>;
}

export interface Running {
  readonly output: Child;
  /** Of the program, on this machine. */
  readonly pid: number;
  /** Runs the image's own health check inside. */
  healthcheck(): Promise<Finished>;
  /** Asks it to stop, as the engine's own `stop` does. @returns its exit code */
  stop(): Promise<number | null>;
  /** Of everything in it, bytes; undefined where nothing limits it. */
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

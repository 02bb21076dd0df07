import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import type { Reloads, ServingProcess } from '../telemetry/snapshot.ts';

export interface AdminContext {
  /** False from the moment that draining begins. Never depends on a provider. */
  readonly ready: () => boolean;
  readonly reloads: () => Reloads;
  readonly config: () => Config;
  /** All that serve: this one alone, or the workers of this primary. */
  readonly processes: () => readonly ServingProcess[];
  /** The providers are emulated. */
  readonly emulated: boolean;
  /** Of wakala. */
  readonly version: string;
  /** That it was built from; empty where that is not known. */
  readonly commit: string;
  readonly clock: Clock;
}

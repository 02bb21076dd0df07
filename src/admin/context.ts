import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import type { Reloads, ServingProcess } from '../telemetry/snapshot.ts';

export interface AdminContext {
  /** False from the start of draining. Does not depend on a provider. */
  readonly ready: () => boolean;
  readonly reloads: () => Reloads;
  readonly config: () => Config;
  /** The serving processes: this process, or the workers of this primary. */
  readonly processes: () => readonly ServingProcess[];
  /** Whether the providers are emulated. */
  readonly emulated: boolean;
  /** Version of Wakala. */
  readonly version: string;
  /** Commit that Wakala was built from; empty if it is not known. */
  readonly commit: string;
  readonly clock: Clock;
}

import type { Clock } from '../clock.ts';
import type { Encoding, Provider } from '../providers/provider.ts';
import type { Callbacks } from './callbacks.ts';
import type { Control, Switches } from './faults.ts';
import type { Answer, EmulatorApp } from './http.ts';
import type { Random } from './issuer.ts';

/** What an emulated API may use. */
export interface ApiContext {
  readonly provider: Provider;
  readonly clock: Clock;
  readonly random: Random;
  readonly callbacks: Callbacks;
  /** How long a transaction stays pending; its callback goes out then. */
  readonly callbackDelayMs: number;
  readonly switches: Switches;
}

/** What an emulator does that the provider's definition does not say. */
export interface ProviderEmulator {
  /** What it has, for people: the rest of a sentence that begins with "It". */
  readonly does: string;
  /** The API behind the token check, with paths below the base URL. */
  readonly api: (context: ApiContext) => EmulatorApp;
  /** A new access token kills the former one. */
  readonly singleToken?: boolean;
  /** API calls may carry the token without its scheme. */
  readonly bareToken?: boolean;
  /** Encodings the token endpoint takes beside the definition's own. */
  readonly encodings?: readonly Encoding[];
  /** Where a dead token gets something else than `samples.deadAnswer`. The path is below the base URL. */
  readonly deadAnswer?: (path: string) => Answer | undefined;
  /** What the token endpoint says to a request that is not even the right question. */
  readonly malformedAnswer?: (reason: string, random: Random) => Answer;
  /** Stands before the token endpoint and may answer in its place. */
  readonly firewall?: (headers: Headers) => Response | undefined;
  /** Further keys of `POST /_emulator`. */
  readonly controls?: Readonly<Record<string, Control>>;
}

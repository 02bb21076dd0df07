import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../clock.ts';
import type { JsonObject } from '../json.ts';
import { type Log, silentLog } from '../logger.ts';
import { isFixed, type Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import { type CallbackReport, Callbacks } from './callbacks.ts';
import { applyControls, type Controlled, type Counters, newCounters, newSwitches, shownSwitches } from './controls.ts';
import { emulatedCredentials, fixedTokenOf } from './emulated-provider.ts';
import { Issuer, type Random } from './issuer.ts';
import type { ApiContext, ProviderEmulator } from './provider-emulator.ts';
import { providerEmulator } from './emulator-registry.ts';

export interface EmulatorStateOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  /** How long a transaction stays pending; its callback goes out then. */
  readonly callbackDelayMs?: number;
  readonly onCallback?: (report: CallbackReport) => void;
  /** Where webhooks go that the real provider sets on its dashboard. Loopback only. */
  readonly webhookUrl?: string;
  /** In place of `samples.accessLifetimeS`. Seconds. */
  readonly lifetimeS?: number;
  /** A new access token kills the former one. Default: as the provider does. */
  readonly singleToken?: boolean;
  readonly log?: Log;
}

/** What one emulator is made of, before it listens: its token endpoint and its API share it. */
export interface EmulatorState extends Controlled, ApiContext {
  readonly special: ProviderEmulator;
  readonly credentials: ReadonlyMap<string, Secret>;
  readonly log: Log;
}

/** Counted since the start or the last reset; `tokens_alive` is as of now. */
export interface EmulatorStats extends Counters {
  tokens_alive: number;
}

const DEFAULT_CALLBACK_DELAY_MS = 500;

const DEFAULT_REFRESH_LIFETIME_S = 7 * 86_400;

export function newEmulatorState(provider: Provider, options: EmulatorStateOptions): EmulatorState {
  const { clock = systemClock, random = randomBytes, onCallback = () => undefined } = options;
  const { callbackDelayMs = DEFAULT_CALLBACK_DELAY_MS } = options;
  const special = providerEmulator(provider);
  const issuer = new Issuer({
    subject: provider.name,
    format: provider.samples.tokenFormat,
    accessLifetimeS: options.lifetimeS ?? provider.samples.accessLifetimeS,
    refreshLifetimeS: refreshLifetimeOf(provider),
    singleToken: options.singleToken ?? special.singleToken ?? false,
    fixedToken: fixedTokenOf(provider),
    clock,
    random,
  });
  return {
    provider,
    special,
    issuer,
    clock,
    random,
    callbackDelayMs,
    credentials: emulatedCredentials(provider),
    switches: newSwitches(options.webhookUrl),
    counters: newCounters(),
    callbacks: new Callbacks({ provider: provider.name, clock, delayMs: callbackDelayMs, onCallback }),
    log: options.log ?? silentLog,
  };
}

/** Undefined where the provider gives out no refresh tokens. */
function refreshLifetimeOf(provider: Provider): number | undefined {
  if (isFixed(provider.token) || provider.token.response.refreshToken === undefined) return undefined;
  return provider.samples.refreshLifetimeS ?? DEFAULT_REFRESH_LIFETIME_S;
}

export function statsOf({ counters, issuer }: EmulatorState): EmulatorStats {
  return { ...counters, tokens_alive: issuer.tokensAlive() };
}

/** Switches what `json` says and gives the new state; throws a `ControlError` that says what may stand there. */
export function control(core: EmulatorState, json: unknown): JsonObject {
  applyControls(core, json, core.special.controls);
  return stateOf(core);
}

/** What `GET /_emulator` shows. Holds no token. */
export function stateOf(core: EmulatorState): JsonObject {
  return {
    provider: core.provider.name,
    emulated: true,
    switches: shownSwitches(core),
    counters: { ...statsOf(core) },
    callbacks: core.callbacks.recent(),
  };
}

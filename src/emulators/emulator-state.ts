import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../clock.ts';
import type { JsonObject } from '../json.ts';
import { type Log, silentLog } from '../logger.ts';
import { isRequested, type Provider } from '../providers/provider.ts';
import { type CallbackReport, Callbacks } from './callbacks.ts';
import {
  applyControls,
  type ControlTarget,
  type Counters,
  newCounters,
  newSwitches,
  switchesAsJson,
} from './controls.ts';
import { emulatedCredentials, fixedTokenOf } from './emulated-provider.ts';
import { providerEmulatorOf } from './emulator-registry.ts';
import { Issuer, type Random } from './issuer.ts';
import type { ApiContext, ProviderEmulator } from './provider-emulator.ts';

export interface EmulatorStateOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  /** How long a transaction stays pending. Its callback is sent afterwards. Default: 500. */
  readonly callbackDelayMs?: number;
  readonly onCallback?: (report: CallbackReport) => void;
  /** Receives the webhooks whose address is set in the real provider's dashboard. Loopback only. */
  readonly webhookUrl?: string;
  /** Lifetime of access tokens in seconds. Default: `samples.accessLifetimeS` of the provider. */
  readonly lifetimeS?: number;
  /** A new access token invalidates the previous one. Default: as the provider does. */
  readonly singleToken?: boolean;
  readonly log?: Log;
}

/** The state that the token endpoint and the API of one emulator share. */
export interface EmulatorState extends ControlTarget, ApiContext {
  readonly providerEmulator: ProviderEmulator;
  readonly log: Log;
}

/** Counters since the start or the last reset, and the number of tokens that are valid now. */
export interface EmulatorStats extends Counters {
  tokens_alive: number;
}

const DEFAULT_CALLBACK_DELAY_MS = 500;

const DEFAULT_REFRESH_LIFETIME_S = 7 * 86_400;

export function newEmulatorState(provider: Provider, options: EmulatorStateOptions): EmulatorState {
  const { clock = systemClock, random = randomBytes, onCallback = () => undefined } = options;
  const { callbackDelayMs = DEFAULT_CALLBACK_DELAY_MS } = options;
  const special = providerEmulatorOf(provider);
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
    providerEmulator: special,
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

/** Undefined if the provider issues no refresh tokens. */
function refreshLifetimeOf(provider: Provider): number | undefined {
  if (!isRequested(provider.token) || provider.token.response.refreshToken === undefined) return undefined;
  return provider.samples.refreshLifetimeS ?? DEFAULT_REFRESH_LIFETIME_S;
}

export function statsOf({ counters, issuer }: EmulatorState): EmulatorStats {
  return { ...counters, tokens_alive: issuer.liveTokenCount() };
}

/**
 * Applies the body of `POST /_emulator`: all of it, or nothing if a key or value is wrong.
 * @returns the new state, as `GET /_emulator` shows it
 * @throws ControlError that names the wrong key and what it accepts
 */
export function control(state: EmulatorState, json: unknown): JsonObject {
  applyControls(state, json, state.providerEmulator.controls);
  return stateAsJson(state);
}

/** The body of `GET /_emulator`. Contains no token. */
export function stateAsJson(state: EmulatorState): JsonObject {
  return {
    provider: state.provider.name,
    emulated: true,
    switches: switchesAsJson(state),
    counters: { ...statsOf(state) },
    callbacks: state.callbacks.recent(),
  };
}

import type { Provider } from '../providers/provider.ts';

/** Where an emulator listens unless told otherwise. `auth` only where tokens come from another host than the API. */
export interface EmulatorPorts {
  readonly api: number;
  readonly auth: number | undefined;
}

/** Known ones keep their port whatever else is emulated, so that people can paste it into their app. */
const FIXED: ReadonlyMap<string, { readonly api: number; readonly auth?: number }> = new Map([
  ['jpay', { api: 9911 }],
  ['mpesa', { api: 9912 }],
  ['jeel', { api: 9913, auth: 9923 }],
  ['paypack', { api: 9914 }],
  ['static', { api: 9915 }],
]);
const FIRST_OTHER_PORT = 9930;

/** The ports of each, in the same order. Others than the built-in ones count up from 9930. */
export function emulatorPorts(providers: readonly Provider[]): readonly EmulatorPorts[] {
  const taken = new Set<string>();
  let next = FIRST_OTHER_PORT;
  return providers.map((provider) => {
    const fixed = taken.has(provider.name) ? undefined : FIXED.get(provider.name);
    taken.add(provider.name);
    const api = fixed?.api ?? next++;
    return { api, auth: hasAuthHost(provider) ? (fixed?.auth ?? next++) : undefined };
  });
}

export function hasAuthHost(provider: Provider): boolean {
  return provider.hosts?.sandbox.auth !== undefined;
}

import type { Provider } from '../providers/provider.ts';

/** Where an emulator listens unless told otherwise. `auth` only where tokens come from another host than the API. */
export interface EmulatorPorts {
  readonly api: number;
  readonly auth: number | undefined;
}

/** Known ones keep their port whatever else is emulated, so that people can paste it into their app. */
const FIXED: ReadonlyMap<string, { readonly api: number; readonly auth?: number }> = new Map([
  ['oauth2', { api: 9910 }],
  ['jpay', { api: 9911 }],
  ['mpesa', { api: 9912 }],
  ['jeel', { api: 9913, auth: 9923 }],
  ['paypack', { api: 9914 }],
  ['static', { api: 9915 }],
  ['mtn-momo', { api: 9916 }],
  ['airtel', { api: 9917 }],
  ['pesapal', { api: 9918 }],
  ['flutterwave', { api: 9919, auth: 9908 }],
  ['paypal', { api: 9920 }],
  ['jenga', { api: 9921 }],
  ['kcb-buni', { api: 9922 }],
  ['coop-bank', { api: 9924 }],
  ['kopokopo', { api: 9925 }],
  ['tingg', { api: 9926 }],
  ['orange-money', { api: 9927 }],
  ['azampay', { api: 9928, auth: 9909 }],
  ['clickpesa', { api: 9929 }],
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

import type { Provider } from './provider.ts';

/** A fixed bearer key (Paystack, Wave, Tabby, Tamara and the like): put on every call, never asked for. */
export const fixedToken: Provider = {
  name: 'static',
  title: 'A fixed bearer key',
  sources: ['Paystack, Wave, Tabby and Tamara documentation'],
  traps: ['The key never expires; when the provider refuses it, only a new one in the configuration helps.'],
  credentials: [{ name: 'token', description: 'The secret key, without "Bearer "', secret: true }],
  token: { fixed: '{token}' },
  defaultLifetimeS: Infinity,
  deadToken: [],
  headers: [],
  tokenPaths: [],
  samples: {
    tokenAnswer: {},
    tokenFormat: 'opaque',
    accessLifetimeS: Infinity,
    deniedAnswer: { status: 401, body: { message: 'Invalid key' } },
    deadAnswer: { status: 401, body: { message: 'Invalid key' } },
    call: { method: 'GET', path: '/' },
  },
};

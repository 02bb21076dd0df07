import type { Provider } from './provider.ts';

/** A fixed bearer key (Paystack, Wave, Tabby, Tamara): sent on every request, never requested. */
export const fixedToken: Provider = {
  name: 'static',
  title: 'A fixed bearer key',
  sources: ['Paystack, Wave, Tabby and Tamara documentation'],
  traps: ['The key never expires. If the provider rejects it, put a new one into the configuration.'],
  credentials: [{ name: 'token', description: 'The secret key, without "Bearer "', secret: true }],
  token: { fixed: '{token}' },
  defaultLifetimeS: Infinity,
  deadToken: [],
  headers: [],
  tokenPaths: [],
  samples: {
    tokenResponse: {},
    tokenFormat: 'opaque',
    accessLifetimeS: Infinity,
    deniedResponse: { status: 401, body: { message: 'Invalid key' } },
    deadTokenResponse: { status: 401, body: { message: 'Invalid key' } },
    call: { method: 'GET', path: '/' },
  },
};

/** What a key means that the file leaves out, as one would write it there. */
export const DEFAULTS = {
  listen: '127.0.0.1:8080',
  admin: '127.0.0.1:9901',
  environment: 'sandbox',
  drain_timeout: '25s',
  timeout: '60s',
  connect_timeout: '5s',
  max_body: '10MiB',
  replay_limit: '64KiB',
  max_websockets: 1000,
  websocket_idle_timeout: '10m',
  default_lifetime: '5m',
} as const;

/** The largest and smallest values that make sense. */
export const BOUNDS = {
  timeoutMs: { min: 1, max: 24 * 3_600_000 },
  drainTimeoutMs: { min: 0, max: 3_600_000 },
  lifetimeMs: { min: 1000, max: 365 * 24 * 3_600_000 },
  bodyBytes: { min: 0, max: 1024 ** 4 },
  replayBytes: { min: 0, max: 64 * 1024 ** 2 },
  connections: { min: 1, max: 1_000_000 },
  workers: { min: 1, max: 256 },
  clientKeyLength: { min: 16, max: 4096 },
  encryptionKeyLength: { min: 32 },
} as const;

/**
 * Every event that Wakala logs, with the text of its `msg` field. The names are stable: alerts and scripts rely on them,
 * and docs/operations.md ("Reading the log") explains each. The texts may change.
 */
export const LOG_MESSAGES = {
  ready: 'ready',
  draining: 'draining',
  stopped: 'stopped',
  worker_died: 'a worker died; starting another',
  worker_start_failed: 'a worker could not be started; trying again',
  config_error: 'configuration error',
  config_warning: 'configuration warning',
  config_reloaded: 'configuration reloaded',
  config_reload_refused: 'configuration reload refused; the old configuration stays in use',
  log_lines_dropped: 'log lines were dropped, because they could not be written',

  request_finished: 'request finished',
  request_failed: 'request failed',
  request_refused: 'request refused',
  protocol_mismatch: 'a client does not speak the protocol of this port',
  request_replayed: 'request sent again with a new token',
  response_not_inspected: 'response could not be checked for a dead token',
  response_incomplete: 'response ended early',
  response_not_read: 'client did not read the response',
  client_disconnected: 'client disconnected after the request was sent',
  upgrade_refused: 'upgrade refused',
  websocket_handshake_failed: 'websocket handshake failed',
  websocket_failed: 'websocket failed',
  websocket_idle_closed: 'idle websocket closed',

  token_fetched: 'token fetched',
  token_refused: 'provider refused the token; requesting a new one',
  token_unchanged: 'token endpoint returned the refused token again',
  token_exchange_failed: 'token exchange failed',
  token_refresh_failed: 'token refresh failed',
  token_reauthorizing: 'requesting a token with the credentials',
  refresh_token_refused: 'provider refused the newest refresh token; using the one in the configuration',
  refresh_token_not_stored: 'new refresh token could not be stored; trying again',
  token_lifetime_ignored: 'token response says that its token has expired already; that is ignored',
  token_header_missing: 'token response has no usable value for a header; the header is left out',

  token_store_connected: 'token store is connected',
  token_store_disconnected: 'token store is not connected; each process requests its own tokens until it is',
  token_store_unavailable: 'token store did not respond correctly; requesting a token without it',
  token_store_available: 'token store is available again',
  token_store_token_unreadable: 'token in the token store cannot be decrypted; ignored',
  token_store_message_ignored: 'message in the token store is not encrypted with a known key; ignored',

  trace_export_failed: 'traces do not reach the collector',
  trace_export_recovered: 'traces reach the collector again',

  emulator_callback: 'callback',
  emulator_call_refused: 'API call refused',
  emulator_token_refused: 'token request refused',
  emulator_failed: 'the emulator failed',
} as const;

export type LogEvent = keyof typeof LOG_MESSAGES;

/** Fields of a log line: scalars under stable names. Never a token, a secret, a body or a whole header list. */
export type LogFields = Readonly<Record<string, unknown>>;

/** @param message replaces the text in `LOG_MESSAGES` */
type LogMethod = (event: LogEvent, fields?: LogFields, message?: string) => void;

/** The log as Wakala's code uses it. `telemetry/log.ts` implements it. */
export interface Log {
  debug: LogMethod;
  info: LogMethod;
  warn: LogMethod;
  error: LogMethod;
  /** Lines that could not be written since the start. */
  readonly droppedLines?: number;
}

/** A logger of an application, such as one of pino. `fields.event` is a `LogEvent`. */
export interface LogTarget {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export const silentLog = { debug() {}, info() {}, warn() {}, error() {} } satisfies Log;

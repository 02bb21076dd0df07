/** Fields of a log line: scalars under stable names. Never a token, a secret, a body or a whole header list. */
export type LogFields = Readonly<Record<string, unknown>>;

/** What the rooms need of a logger; `telemetry/log.ts` makes one. */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

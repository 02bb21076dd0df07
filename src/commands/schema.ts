import { jsonSchemaText } from '../config/json-schema.ts';
import type { CommandIo } from './check.ts';

/** Prints the JSON Schema of the configuration file. Exit code: 0. */
export function schema(_options: object, io: Pick<CommandIo, 'stdout'>): number {
  io.stdout(jsonSchemaText());
  return 0;
}

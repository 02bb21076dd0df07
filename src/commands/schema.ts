import { jsonSchemaText } from '../config/json-schema.ts';
import { EXIT, type Io } from './io.ts';

/** Prints the JSON Schema of the configuration file. Exit code: 0. */
export function schema(_options: object, io: Pick<Io, 'stdout'>): number {
  io.stdout(jsonSchemaText());
  return EXIT.ok;
}

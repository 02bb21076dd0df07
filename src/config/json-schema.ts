import { z } from 'zod';
import { configSchema } from './schema.ts';

type Node = Record<string, unknown>;

/** Values that are no texts may also be given as `${NAME}`, which editors shall not mark as wrong. */
const REFERENCE = { type: 'string', pattern: '\\$\\{.+\\}' };

/** The JSON Schema (draft 7, which editors know best) of the configuration file. */
export function jsonSchema(): Node {
  return z.toJSONSchema(configSchema, {
    target: 'draft-07',
    io: 'input',
    override: ({ jsonSchema: node }) => {
      nameDefault(node);
      allowReference(node);
    },
  });
}

/** The schema as `wakala schema` prints it and `proxy.config.schema.json` holds it. */
export function jsonSchemaText(): string {
  return `${JSON.stringify(jsonSchema(), null, 2)}\n`;
}

/** zod drops the `default` of a value that it transforms; `fallback` is what such a schema calls it. */
function nameDefault(node: Node): void {
  if (node['fallback'] !== undefined) node['default'] = node['fallback'];
  delete node['fallback'];
}

function allowReference(node: Node): void {
  const isValue = ['number', 'integer', 'boolean'].includes(String(node['type'])) || node['enum'] !== undefined;
  if (!isValue || node['const'] !== undefined) return;
  const own: Node = {};
  for (const key of ['type', 'enum', 'minimum', 'maximum']) {
    if (node[key] !== undefined) own[key] = node[key];
    Reflect.deleteProperty(node, key);
  }
  node['anyOf'] = [own, REFERENCE];
}

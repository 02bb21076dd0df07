import { z } from 'zod';
import { configSchema } from './schema.ts';
import { DURATION_PATTERN } from './values.ts';

/** What `field` of schema-fields.ts says about a key, on the node of that key. */
interface Metadata {
  readonly description?: string;
  readonly default?: unknown;
  readonly fallback?: unknown;
  readonly omitted?: string;
  readonly shown?: readonly unknown[];
  readonly kind?: string;
  readonly range?: readonly [min: string, max: string];
}

interface Node extends Metadata {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | false;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly [keyword: string]: unknown;
}

/** A number, a boolean or a name may also be given as `${NAME}`: editors must not mark that as an error. */
const REFERENCE: Node = { type: 'string', pattern: '\\$\\{.+\\}' };

/** The JSON Schema of the configuration file, with the metadata of each key, for docs/configuration-reference.md. */
export function documentedSchema(): Node {
  return z.toJSONSchema(configSchema, { target: 'draft-07', io: 'input' }) as Node;
}

/** The JSON Schema (draft 7, which editors support best) of the configuration file. */
export function jsonSchema(): Node {
  return standardNode(documentedSchema());
}

/** The schema as `wakala schema` prints it and `proxy.config.schema.json` holds it. */
export function jsonSchemaText(): string {
  return `${JSON.stringify(jsonSchema(), null, 2)}\n`;
}

/** The node in the keywords of JSON Schema alone. Ranges and `omitted` become sentences of its description. */
function standardNode(node: Node): Node {
  const { description, default: value, fallback = value, omitted, shown, kind, range, ...rest } = node;
  const { properties, additionalProperties, items, anyOf } = rest;
  const sentences = [
    description,
    ...(range === undefined ? [] : [`From \`${range[0]}\` to \`${range[1]}\`.`]),
    ...(omitted === undefined ? [] : [`Default: ${omitted}.`]),
  ];
  return withReference({
    ...rest,
    ...(description !== undefined && { description: sentences.join(' ') }),
    ...(fallback !== undefined && omitted === undefined && { default: fallback }),
    ...(shown && { examples: shown }),
    ...(kind === 'duration' && { pattern: DURATION_PATTERN }),
    ...(properties && {
      properties: Object.fromEntries(Object.entries(properties).map(([key, each]) => [key, standardNode(each)])),
    }),
    ...(additionalProperties && { additionalProperties: standardNode(additionalProperties) }),
    ...(items && { items: standardNode(items) }),
    ...(anyOf && { anyOf: anyOf.map(standardNode) }),
  });
}

function withReference(node: Node): Node {
  const { type, enum: names, minimum, maximum, ...rest } = node;
  const isValue = names !== undefined || ['number', 'integer', 'boolean'].includes(String(type));
  if (!isValue || node['const'] !== undefined) return node;
  const written = Object.entries({ type, enum: names, minimum, maximum }).filter(([, each]) => each !== undefined);
  return { ...rest, anyOf: [Object.fromEntries(written), REFERENCE] };
}

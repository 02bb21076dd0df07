import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { jsonSchema, jsonSchemaText } from '../../src/config/json-schema.ts';
import { valueAt } from '../../src/json.ts';
import { providers } from '../../src/providers/registry.ts';

const schema = jsonSchema();
const route = valueAt(schema, 'properties.routes.additionalProperties');

describe('the JSON Schema', () => {
  it('is what proxy.config.schema.json holds', () => {
    expect(readFileSync('proxy.config.schema.json', 'utf8')).toBe(jsonSchemaText());
  });

  it('offers every built-in provider', () => {
    const [offered] = valueAt(route, 'properties.provider.anyOf') as { enum: string[] }[];
    expect(offered?.enum).toEqual(providers.map((provider) => provider.name));
  });

  it('has every key of the contract, each with a description', () => {
    const names = (at: unknown) => Object.keys(valueAt(at, 'properties') as object).sort();
    expect(names(route)).toEqual(
      [
        'provider environment credentials upstream auth_server token oauth2 encoding headers token_header',
        'headers_from_token timeout connect_timeout max_body replay_limit replay allow token_paths max_concurrency',
        'tls egress_proxy allow_addresses host_header max_response_header rewrite_location token_query',
        'websocket max_websockets websocket_idle_timeout sign',
      ]
        .join(' ')
        .split(' ')
        .sort(),
    );
    expect(names(schema)).toEqual(
      [
        'listen admin environment routes clients open allowed_hosts allowed_origins max_connections egress_proxy token_store workers keep_alive_timeout drain_timeout log inspect_bodies tracing',
      ]
        .join(' ')
        .split(' ')
        .sort(),
    );
    for (const part of [schema, route]) {
      for (const property of Object.values(valueAt(part, 'properties') as object)) {
        expect(property).toHaveProperty('description');
      }
    }
  });

  it('has the default of each key', () => {
    expect(valueAt(route, 'properties.timeout.default')).toBe('60s');
    expect(valueAt(route, 'properties.max_body.default')).toBe('10MiB');
    expect(valueAt(schema, 'properties.listen.default')).toBe('127.0.0.1:8080');
    expect(JSON.stringify(schema)).not.toContain('fallback');
  });

  it('rejects unknown keys and accepts references in place of other types', () => {
    expect(valueAt(schema, 'additionalProperties')).toBe(false);
    expect(valueAt(route, 'additionalProperties')).toBe(false);
    expect(valueAt(route, 'properties.websocket.anyOf')).toEqual([
      { type: 'boolean' },
      { type: 'string', pattern: '\\$\\{.+\\}' },
    ]);
    expect('${TIMEOUT}').toMatch(new RegExp(String(valueAt(route, 'properties.timeout.pattern'))));
  });
});

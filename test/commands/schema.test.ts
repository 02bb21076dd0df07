import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { schema } from '../../src/commands/config-commands.ts';

it('schema prints proxy.config.schema.json', () => {
  let stdout = '';
  expect(schema({}, { stdout: (s) => void (stdout += s) })).toBe(0);
  expect(stdout).toBe(readFileSync('proxy.config.schema.json', 'utf8'));
});

// Writes the tables of docs/metrics.md from the descriptors in src/telemetry/metrics.ts.
// With `--check` it writes nothing, and exits with 1 if the tables are out of date.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { CREDENTIAL_METRICS, ROUTE_METRICS, SERVER_METRICS, UPSTREAM_METRICS } from '../src/telemetry/metrics.ts';

const FILE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../docs/metrics.md');

const before = readFileSync(FILE, 'utf8');
const metrics = [...ROUTE_METRICS, ...CREDENTIAL_METRICS, ...UPSTREAM_METRICS, ...SERVER_METRICS];
let text = before;
for (const section of new Set(metrics.map((metric) => metric.section))) {
  const rows = metrics.filter((metric) => metric.section === section).map(row);
  const table = ['| metric | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
  const pattern = new RegExp(`(?<=^### ${section}\n\n)(?:\\|.*\n)+`, 'm');
  if (!pattern.test(text)) throw new Error(`docs/metrics.md has no table below "### ${section}"`);
  text = text.replace(pattern, `${table}\n`);
}
text = await format(text, { ...(await resolveConfig(FILE)), parser: 'markdown' });

if (!process.argv.includes('--check')) {
  writeFileSync(FILE, text);
  console.log('wrote docs/metrics.md');
} else if (text !== before) {
  console.error('docs/metrics.md is out of date; run `npm run docs:metrics`');
  process.exitCode = 1;
}

function row({ name, type, labels, help }) {
  return `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`;
}

// Writes docs/configuration-reference.md: every key of the configuration, all of it from the JSON Schema.
// With `--check` it writes nothing, and exits with 1 if the file is not what it would write.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { jsonSchema } from '../src/config/json-schema.ts';
import { DURATION_PATTERN, SIZE_PATTERN } from '../src/config/values.ts';

const FOLDER = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../docs');
const FILE = path.join(FOLDER, 'configuration-reference.md');
const GUIDE = 'configuration.md';
const NOTE = '<!-- Made by scripts/config-docs.mjs; do not edit. -->';

/** More names than this do not fit into a cell: they have a page. */
const MANY = 8;
const PAGES = { provider: 'providers/README.md' };

const schema = jsonSchema();
const route = schema.properties.routes.additionalProperties;
const guideHeadings = readFileSync(path.join(FOLDER, GUIDE), 'utf8').match(/(?<=^### ).*$/gm) ?? [];
const top = { node: schema, heading: 'Top-level keys', guide: (key) => guideLink(`\`${key}\``) };
const perRoute = {
  node: route,
  heading: 'Route keys',
  guide: (key) => guideLink(`\`${key}\` of a route`, `\`${key}\``),
};
/** Mappings with keys of their own, each once, in the order of the page. */
const levels = [];
for (const level of [top, perRoute]) addLevel(level, '', level.guide);

const text = await format(page(), { ...(await resolveConfig(FILE)), parser: 'markdown' });
if (process.argv.includes('--check')) {
  if (!existsSync(FILE) || readFileSync(FILE, 'utf8') !== text) {
    console.error('docs/configuration-reference.md is out of date; run `npm run docs:config`');
    process.exitCode = 1;
  }
} else {
  writeFileSync(FILE, text);
  console.log('wrote docs/configuration-reference.md');
}

/** `guide` gives the link of a key here to its section in the guide; those below share that of the key they are in. */
function addLevel(level, prefix, guide) {
  levels.push(level);
  for (const [key, node] of Object.entries(level.node.properties)) {
    const [below, suffix] = mappingIn(node);
    if (below === undefined || below === route || levelOf(below) !== undefined) continue;
    const name = `${prefix}${key}`;
    const inGuide = guide(key);
    addLevel({ node: below, heading: `\`${name}${suffix}\``, about: inGuide }, `${name}.`, () => inGuide);
  }
}

/** The mapping that a value is or may be, or that its entries are, and what is put behind its name. */
function mappingIn(node) {
  if (node.properties !== undefined) return [node, ''];
  if (node.items?.properties !== undefined) return [node.items, '[]'];
  if (node.additionalProperties?.properties !== undefined) return [node.additionalProperties, ''];
  return [node.anyOf?.find(({ properties }) => properties !== undefined), ''];
}

function levelOf(node) {
  return levels.find((level) => isDeepStrictEqual(level.node, node));
}

function page() {
  return `# Configuration reference

${NOTE}

Every key of \`proxy.config.yaml\`, in the order of the schema (\`wakala schema\`). The guide has [examples and what \`check\` says](${GUIDE}); a key here leads to its section there. Any value may hold [\`\${NAME}\`, \`\${NAME:-default}\` or \`\${file:/path}\`](${GUIDE}#values-from-variables-and-files).

${contents()}

${levels.map(section).join('\n\n')}
`;
}

function contents() {
  const below = levels.indexOf(levels.find(({ node }) => node === route));
  const lines = [levels.slice(0, below), levels.slice(below)].map((all) => {
    const [first, ...others] = all.map(({ heading }) => `[${heading}](#${anchor(heading)})`);
    return `- ${first}: ${others.join(', ')}`;
  });
  return lines.join('\n');
}

function section(level) {
  const { node, heading, about } = level;
  const rows = Object.entries(node.properties).map(([key, value]) => {
    const required = node.required?.includes(key) === true;
    const { meaning, range, fallback } = readDescription(value);
    const name = level.guide === undefined ? code(key) : `[${code(key)}](${level.guide(key)})`;
    return [
      name,
      valueInWords(key, value, value.description) + range,
      required ? 'required' : (fallback ?? code(value.default)),
      meaning,
    ];
  });
  const intro = {
    'Top-level keys': '',
    'Route keys': 'Of each route below `routes`.\n\n',
  };
  const hashes = level.guide === undefined ? '###' : '##';
  const lead = intro[heading] ?? `In the guide: [${about.split('#')[1].replaceAll('-', ' ')}](${about}).\n\n`;
  return `${hashes} ${heading}\n\n${lead}${table(['key', 'value', 'default', 'meaning'], rows)}`;
}

/** A description ends with a range (`From 1ms to 24h.`) and with what holds by default, where the schema cannot say it. */
function readDescription({ description }) {
  const [, rest, fallback] = /^(.*?)(?: Default: (.*)\.)?$/s.exec(description);
  const [, meaning, from, to] = /^(.*?)(?: From (`\w+`) to (`\w+`)\.)?$/s.exec(rest);
  return { meaning, range: from === undefined ? '' : `, ${from} to ${to}`, fallback };
}

function valueInWords(key, node, description) {
  const level = node.properties && levelOf(node);
  if (level !== undefined) return `[mapping](#${anchor(level.heading)})`;
  if (node.const !== undefined) return code(node.const);
  if (node.enum !== undefined) return namesInWords(key, node.enum);
  if (node.anyOf !== undefined) return alternatives(key, node.anyOf, description);
  switch (node.type) {
    case 'array':
      return node.items.properties === undefined
        ? 'list of texts'
        : `list of [mappings](#${anchor(levelOf(node.items).heading)})`;
    case 'object':
      return entriesInWords(node);
    case 'boolean':
      return '`true`, `false`';
    case 'integer':
      return `${node.minimum} to ${node.maximum}`;
    case 'number':
      return 'number';
    default:
      return textInWords(node, description);
  }
}

function alternatives(key, nodes, description) {
  // What is written as a reference is a text only until it is replaced.
  const real = nodes.filter(({ pattern }) => pattern !== '\\$\\{.+\\}');
  if (real.some(({ pattern }) => pattern === SIZE_PATTERN)) return `[size](${GUIDE}#units)`;
  return inList(real.map((node) => valueInWords(key, node, description)));
}

function entriesInWords({ additionalProperties }) {
  const level = levelOf(additionalProperties);
  if (level !== undefined) return `mapping of [mappings](#${anchor(level.heading)})`;
  return additionalProperties.anyOf === undefined ? 'mapping of texts' : 'mapping of texts or numbers';
}

function namesInWords(key, names) {
  return names.length > MANY ? `one of [${names.length} names](${PAGES[key]})` : names.map(code).join(', ');
}

function textInWords({ pattern }, description = '') {
  if (pattern === DURATION_PATTERN) return `[duration](${GUIDE}#units)`;
  return description.includes('`host:port`') ? `[address](${GUIDE}#units)` : 'text';
}

function inList(words) {
  const last = words.at(-1);
  return words.length === 1 ? last : `${words.slice(0, -1).join(', ')} or ${last}`;
}

/** @throws Error if the guide has no section for a key */
function guideLink(...headings) {
  const found = headings.find((heading) => guideHeadings.includes(heading));
  if (found === undefined) throw new Error(`docs/${GUIDE} has no section "${headings.at(-1)}"`);
  return `${GUIDE}#${anchor(found)}`;
}

/** As GitHub makes them. */
function anchor(heading) {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function code(value) {
  return `\`${value}\``;
}

// Writes docs/configuration-reference.md: every key of the configuration, all of it from src/config/schema*.ts.
// With `--check` it writes nothing, and exits with 1 if the file is out of date.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { documentedSchema } from '../src/config/json-schema.ts';

const FOLDER = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../docs');
const FILE = path.join(FOLDER, 'configuration-reference.md');
const GUIDE = 'configuration.md';
const NOTE = '<!-- Made by scripts/config-docs.mjs; do not edit. -->';

/** A longer list of names does not fit into a cell. It has a page. */
const MANY = 8;
const PAGES = { provider: 'providers/README.md' };

const schema = documentedSchema();
const route = schema.properties.routes.additionalProperties;
const guideHeadings = readFileSync(path.join(FOLDER, GUIDE), 'utf8').match(/(?<=^### ).*$/gm) ?? [];
const top = { node: schema, heading: 'Top-level keys', guide: (key) => guideLink(`\`${key}\``) };
const perRoute = {
  node: route,
  heading: 'Route keys',
  guide: (key) => guideLink(`\`${key}\` of a route`, `\`${key}\``),
};
/** The mappings with known keys, without repeats, in the order of the page. */
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

/** `guide` returns the link of a key to its section in the guide. Keys of a nested mapping have the link of its key. */
function addLevel(level, prefix, guide) {
  levels.push(level);
  for (const [key, node] of Object.entries(level.node.properties)) {
    const [below, suffix] = mappingIn(node);
    if (below === undefined || below === route || levelOf(below) !== undefined) continue;
    const name = `${prefix}${key}`;
    const inGuide = guide(key);
    addLevel({ node: below, heading: `\`${name}${suffix}\``, about: inGuide }, `${name}${suffix}.`, () => inGuide);
  }
}

/** The mapping that a value or its entries are, and the suffix of its name. */
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

Every key of \`proxy.config.yaml\`, in the order of the schema (\`wakala schema\`). Examples and the messages of \`check\` are in the [guide](${GUIDE}); each key links to its section. Any value may contain [\`\${NAME}\`, \`\${NAME:-default}\` or \`\${file:/path}\`](${GUIDE}#values-from-variables-and-files).

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
    const { description, range, omitted, default: written = value.fallback } = value;
    const link = level.guide?.(key);
    return [
      link === undefined ? code(key) : `[${code(key)}](${link})`,
      valueInWords(key, value) + (range === undefined ? '' : `, ${code(range[0])} to ${code(range[1])}`),
      required ? 'required' : (omitted ?? code(written)),
      description,
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

function valueInWords(key, node) {
  const level = node.properties && levelOf(node);
  if (level !== undefined) return `[mapping](#${anchor(level.heading)})`;
  if (node.kind !== undefined) return `[${node.kind}](${GUIDE}#units)`;
  if (node.const !== undefined) return code(node.const);
  if (node.enum !== undefined) return namesInWords(key, node.enum);
  if (node.anyOf !== undefined) return inList(node.anyOf.map((each) => valueInWords(key, each)));
  if (Array.isArray(node.type)) return inList(node.type.map((type) => valueInWords(key, { type })));
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
      return 'text';
  }
}

function entriesInWords({ additionalProperties }) {
  const level = levelOf(additionalProperties);
  if (level !== undefined) return `mapping of [mappings](#${anchor(level.heading)})`;
  const { type } = additionalProperties;
  if (type === undefined) return 'mapping of any values';
  return Array.isArray(type) ? 'mapping of texts, numbers, `true`, `false` or `null`' : 'mapping of texts';
}

function namesInWords(key, names) {
  return names.length > MANY ? `one of [${names.length} names](${PAGES[key]})` : names.map(code).join(', ');
}

function inList(words) {
  const last = words.at(-1);
  return words.length === 1 ? last : `${words.slice(0, -1).join(', ')} or ${last}`;
}

/** The section of the guide about a key; undefined if it has none. */
function guideLink(...headings) {
  const found = headings.find((heading) => guideHeadings.includes(heading));
  return found === undefined ? undefined : `${GUIDE}#${anchor(found)}`;
}

/** The anchor that GitHub makes for a heading. */
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

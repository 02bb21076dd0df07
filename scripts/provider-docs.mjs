// Writes docs/providers/: a page for each built-in provider and an index, all of it from the definitions.
// With `--check` it writes nothing, names the files that are not what it would write, and exits with 1 if there are any.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import {
  fillsIn,
  formatField,
  formatHeader,
  formatRequest,
  formatRules,
  formatTokenHeader,
  formatValue,
  snippet,
  sourcesOf,
} from '../src/commands/providers.ts';
import { variableOf } from '../src/config/starter.ts';
import { emulatedCredentials } from '../src/emulators/emulated-provider.ts';
import { emulatorPorts } from '../src/emulators/emulator.ts';
import { providerEmulatorOf } from '../src/emulators/emulator-registry.ts';
import { isRequested } from '../src/providers/provider.ts';
import { providers } from '../src/providers/registry.ts';

const FOLDER = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../docs/providers');
const NOTE = '<!-- Made by scripts/provider-docs.mjs; do not edit. -->';
const ENCODINGS = { json: 'a JSON body', form: 'a form', multipart: 'a multipart form' };
const ports = emulatorPorts(providers);

const written = new Map([
  ['README.md', index()],
  ...providers.map((one, i) => [`${one.name}.md`, page(one, ports[i])]),
]);
const files = await Promise.all(
  [...written].map(async ([name, text]) => [path.join(FOLDER, name), await pretty(text)]),
);
const left = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => !written.has(name)) : [];

if (process.argv.includes('--check')) {
  const stale = files.filter(([file, text]) => !existsSync(file) || readFileSync(file, 'utf8') !== text);
  const names = [...stale.map(([file]) => path.basename(file)), ...left];
  for (const name of names)
    console.error(`docs/providers/${name} is out of date; run \`node scripts/provider-docs.mjs\``);
  process.exitCode = names.length > 0 ? 1 : 0;
} else {
  mkdirSync(FOLDER, { recursive: true });
  for (const name of left) rmSync(path.join(FOLDER, name));
  for (const [file, text] of files) writeFileSync(file, text);
  console.log(`wrote ${files.length} files in docs/providers`);
}

async function pretty(text) {
  return format(text, { ...(await resolveConfig(path.join(FOLDER, 'README.md'))), parser: 'markdown' });
}

function index() {
  const rows = providers.map((provider) => [
    `[\`${provider.name}\`](${provider.name}.md)`,
    provider.title,
    !isRequested(provider.token) ? 'a fixed key' : howInShort(provider.token.request),
    lifetimeInShort(provider),
  ]);
  return `# Providers

${NOTE}

Every built-in provider, with its credentials, its token request, its common mistakes and its emulator. \`wakala providers NAME\` prints the same in the terminal.

"Not confirmed" means that we have not seen it at the real service, or that the sources disagree. If you have, please open an issue.

${table(['key', 'provider', 'token request', 'lifetime'], rows)}

A service that is not listed needs no code: describe its exchange under \`token\`. See [adding a provider](../adding-a-provider.md).
`;
}

function page(provider, { api, auth }) {
  const sections = [
    ['Configuration', configuration(provider)],
    ['Credentials', credentials(provider)],
    ['Hosts', hosts(provider)],
    ['The token', token(provider)],
    ['API requests', calls(provider)],
    ['Watch out', list(provider.traps)],
    ['Emulated', emulated(provider, api, auth)],
    ['Sources', list(sourcesOf(provider))],
  ];
  const body = sections.map(([heading, text]) => `## ${heading}\n\n${text}`).join('\n\n');
  return `# ${provider.title}\n\n${NOTE}\n\n${body}\n`;
}

function configuration(provider) {
  const hint = !isRequested(provider.token) ? '' : ', and `wakala doctor` requests a token';
  return `\`\`\`yaml
${snippet(provider).trimEnd()}
\`\`\`

Your app then calls \`http://127.0.0.1:8080/${provider.name}/...\` without any auth code. \`wakala check\` checks the file${hint}.`;
}

function credentials(provider) {
  const rows = provider.credentials.map((field) => [
    code(field.name),
    code(variableOf(provider, field.name)),
    formatField(field),
    field.secret ? 'yes' : 'no',
  ]);
  const text = 'The names of the variables are those of the file above. You may choose others.';
  return `${table(['key', 'variable', 'what it is', 'secret'], rows)}\n\n${text}`;
}

function hosts({ hosts: known }) {
  if (known === undefined) return 'None: set `upstream` on the route.';
  const rows = ['sandbox', 'production'].map((environment) => {
    const { api, auth = api } = known[environment];
    return [environment, api, auth === api ? 'the same' : auth];
  });
  return table(['environment', 'API', 'tokens'], rows);
}

function token({ token: exchange, refresh, defaultLifetimeS, deniedToken = [], tokenPaths }) {
  if (!isRequested(exchange)) return 'It is never requested: the credential itself is sent on every request.';
  const logins = [...new Set(tokenPaths.map(({ method, path: where }) => code(`${method} ${where}`)))];
  const facts = [
    `Request: ${inWords(exchange.request)}.`,
    `The token is in ${code(exchange.response.accessToken)} of the response.`,
    lifetime(exchange.response, defaultLifetimeS),
    ...(refresh === undefined
      ? ['There is no refresh token. Wakala requests each token with the credentials.']
      : [`Refresh: ${inWords(refresh.request)}. If it fails, Wakala requests a token with the credentials.`]),
    `Wrong credentials get 400, 401, 403 or 422${deniedToken.length > 0 ? `; here also ${formatRules(deniedToken)}` : ''}.`,
    `A client that requests a token itself (${logins.join(', ')}) gets a placeholder from Wakala, never the real token.`,
  ];
  return list(facts);
}

function lifetime({ expiresIn, expiresAt }, defaultLifetimeS) {
  const otherwise = `Without it, the lifetime is that of the token itself (\`exp\` of a JWT), or ${inTime(defaultLifetimeS)}.`;
  if (expiresIn !== undefined) return `Its lifetime in seconds is in ${code(expiresIn)}. ${otherwise}`;
  if (expiresAt !== undefined) return `The time of its expiry is in ${code(expiresAt)}. ${otherwise}`;
  return `The response has no lifetime. It is that of the token itself (\`exp\` of a JWT), or ${inTime(defaultLifetimeS)}.`;
}

function calls(provider) {
  const { token: exchange, deadToken, headers, readOnlyCall } = provider;
  const dead = !isRequested(exchange)
    ? 'A response to a rejected key is passed on unchanged: there is no other key.'
    : `A token is no longer valid if an API response is ${formatRules(deadToken)}. Wakala then requests another token and sends the request again.`;
  const tokenHeader = formatTokenHeader(provider);
  const carried =
    tokenHeader === undefined ? [] : [`The header of the token has a computed value: ${code(tokenHeader)}.`];
  const set = headers.map(
    (rule) =>
      `Wakala sets ${code(formatHeader({ ...rule, mode: 'set' }))}${rule.mode === 'default' ? ' unless the app sends its own' : ''}.`,
  );
  const readOnly =
    readOnlyCall && `\`wakala doctor --call\` sends ${code(`GET ${readOnlyCall.path}`)}, which changes nothing.`;
  const filled = fillsIn(provider).map(({ targets, calls: all, when }) => {
    // With and without a slash at the end is one line.
    const once = all.filter((call) => !all.includes(call.replace(/\/$/, '')) || !call.endsWith('/'));
    const what = `Wakala fills in ${inSeries(targets.map(code))}${when === undefined ? '' : ` if ${code(when)} is set`}`;
    return `${what}, on:\n${once.map((call) => `  - ${code(call)}`).join('\n')}`;
  });
  const hasMembers = (provider.sign ?? []).some(({ json, form, query }) => json ?? form ?? query);
  const members =
    'If the app sends all members of the body that one of these rules fills in, Wakala leaves them as they are. `null` and an empty string count as not sent.';
  return list([dead, ...carried, ...set, ...filled, ...(hasMembers ? [members] : []), ...(readOnly ? [readOnly] : [])]);
}

function emulated(provider, api, auth) {
  const { call } = provider.samples;
  const values = [...emulatedCredentials(provider)].map(([name, secret]) => [code(name), keyOrCode(secret.reveal())]);
  const headers = Object.entries(call.headers ?? {}).map(([name, value]) => code(`${name}: ${value}`));
  const withHeaders = headers.length === 0 ? '' : `, with ${inSeries(headers)}`;
  const own = Object.keys(call.unsigned ?? {}).map(code);
  const unsigned =
    own.length === 0
      ? ''
      : `\n\nIf Wakala does not fill in ${inSeries(own)}, the app sends ${own.length === 1 ? 'it' : 'them'}.`;
  const where = auth === undefined ? '' : `, its token host at http://127.0.0.1:${auth}`;
  const body = call.json === undefined ? '' : `\n\n\`\`\`json\n${JSON.stringify(call.json, null, 2)}\n\`\`\``;
  return `\`wakala dev\` and \`wakala emulate ${provider.name}\` serve it at http://127.0.0.1:${api}${where}. It ${!isRequested(provider.token) ? 'accepts the key below' : 'emulates the token endpoint as described above'}, and ${providerEmulatorOf(provider).summary} See [emulators](../emulators.md) for its faults.

${table(['credential', 'emulated value'], values)}

A first request: ${code(`${call.method} ${call.path}`)}${withHeaders}${call.json === undefined ? '.' : ', with this body:'}${body}${unsigned}`;
}

function keyOrCode(value) {
  if (!value.startsWith('-----BEGIN')) return code(value);
  return 'the key of [RFC 7520 section 3.4](https://www.rfc-editor.org/rfc/rfc7520#section-3.4)';
}

function inSeries(words) {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

function inWords(request) {
  const { basic, body } = request;
  const url = formatRequest({ method: request.method, path: request.path, query: request.query });
  const computed = Object.entries(request.values ?? {});
  const parts = [
    code(url),
    ...(basic === undefined ? [] : [`HTTP Basic of ${code(basic[0])} and ${code(basic[1])}`]),
    ...Object.entries(request.headers ?? {}).map(([name, value]) => `the header ${code(`${name}: ${value}`)}`),
    ...(body === undefined ? [] : [`${ENCODINGS[body.encoding]} with ${fieldsInWords(body.fields)}`]),
  ];
  const where = computed.map(([name, value]) => `${code(`{${name}}`)} is ${code(formatValue(value))}`);
  return `${parts.join(', ')}${where.length === 0 ? '' : `, where ${inSeries(where)}`}`;
}

function fieldsInWords(fields) {
  return Object.entries(fields)
    .map(([name, value]) => code(`${name}=${value}`))
    .join(', ');
}

function howInShort({ method, basic, body, headers }) {
  const ways = [
    ...(basic === undefined ? [] : ['Basic']),
    ...(body === undefined ? [] : [body.encoding]),
    ...(Object.values(headers ?? {}).some((value) => value.includes('{')) ? ['headers'] : []),
  ];
  return `${method}, ${ways.join(' and ') || 'a plain request'}`;
}

function lifetimeInShort({ token: exchange, samples }) {
  return !isRequested(exchange) ? 'no expiry' : inTime(samples.accessLifetimeS);
}

function inTime(seconds) {
  if (seconds >= 7200) return `${Math.round(seconds / 3600)} hours`;
  return seconds >= 3590 ? 'an hour' : `${Math.round(seconds / 60)} minutes`;
}

function list(lines) {
  return lines.map((line) => `- ${line}`).join('\n');
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function code(text) {
  return `\`${text}\``;
}

// Checks whether this checkout can be released under a tag, and prints its changelog section:
// `npm run --silent package:check v0.1.0 > notes.md`. The exit code is 1 if it cannot.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const read = (file) => readFileSync(path.join(ROOT, file), 'utf8');

const [tag = ''] = process.argv.slice(2);
const { version, repository } = JSON.parse(read('package.json'));
const notes = notesOf(version);
const problems = [...problemsOfVersion(), ...problemsOfNotes(), ...problemsOfRepository()];
if (problems.length > 0) {
  for (const problem of problems) console.error(`package:check: ${problem}`);
  process.exitCode = 1;
} else {
  console.log(notes.text);
}

function problemsOfVersion() {
  const problems = [];
  if (tag !== `v${version}`) problems.push(`the tag is "${tag}", but package.json has version ${version}`);
  const lock = JSON.parse(read('package-lock.json'));
  for (const locked of new Set([lock.version, lock.packages[''].version])) {
    if (locked !== version) problems.push(`package-lock.json has version ${locked}: run "npm install"`);
  }
  return problems;
}

function problemsOfNotes() {
  if (notes === undefined) return [`CHANGELOG.md has no section "## [${version}] - YYYY-MM-DD"`];
  return notes.text === '' ? [`the section of ${version} in CHANGELOG.md is empty`] : [];
}

/** npm accepts a provenance statement only if package.json names the repository of the workflow. */
function problemsOfRepository() {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name } = process.env;
  if (name === undefined) return [];
  const wanted = `git+${server ?? 'https://github.com'}/${name}.git`;
  const url = typeof repository === 'object' ? repository.url : repository;
  return url === wanted
    ? []
    : [`"repository" in package.json is ${url ?? 'missing'}, but the workflow runs in ${wanted}`];
}

/** The section of a version, without its heading. Undefined if there is none with a date. */
function notesOf(wanted) {
  for (const section of read('CHANGELOG.md').split(/^## /m).slice(1)) {
    const [, name] = /^\[([^\]]+)\] - \d{4}-\d\d-\d\d$/m.exec(section.split('\n', 1)[0]) ?? [];
    if (name === wanted) return { text: section.slice(section.indexOf('\n')).trim() };
  }
  return undefined;
}

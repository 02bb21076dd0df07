import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
} from 'yaml';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { invisibleCharacter } from './invisible.ts';

/** Keys from the top of the file down to a value. */
export type Path = readonly (string | number)[];

type Branch = Record<string | number, unknown>;

/** A string that identifies the path. */
export function pathId(path: Path): string {
  return JSON.stringify(path.map(String));
}

export function dotted(path: Path): string {
  return path.join('.');
}

function branchAt(root: unknown, path: Path): Branch | undefined {
  const value = getAt(root, path);
  return typeof value === 'object' && value !== null ? (value as Branch) : undefined;
}

/** The value at `path`, or undefined. Only own keys count. */
export function getAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Branch)[key];
  }
  return value;
}

/** Replaces an existing value. */
export function setAt(root: unknown, path: Path, value: unknown): void {
  const key = path.at(-1);
  const parent = branchAt(root, path.slice(0, -1));
  if (parent !== undefined && key !== undefined && Object.hasOwn(parent, key)) parent[key] = value;
}

/**
 * Removes the value at `path`. If it does not exist or is an entry of a list, removes what contains it, so that every
 * other path keeps its meaning. Returns the path of what was removed; undefined if only the root is left.
 */
export function prune(root: unknown, path: Path): Path | undefined {
  const key = path.at(-1);
  const parentPath = path.slice(0, -1);
  if (key === undefined) return undefined;
  const parent = branchAt(root, parentPath);
  if (parent === undefined || Array.isArray(parent) || !Object.hasOwn(parent, key)) return prune(root, parentPath);
  Reflect.deleteProperty(parent, key);
  return path;
}

/** The place of a value in the file: the nodes of its key, if it has one, and of the value. */
export interface Entry {
  readonly path: Path;
  /** The keys directly below it. */
  readonly keys: string[];
  readonly key: Node | undefined;
  readonly value: Node | null;
}

interface Position {
  readonly line: number;
  readonly column: number;
}

/** A parsed configuration file: its values, and the place of each. */
export interface Source {
  readonly file: string;
  readonly values: unknown;
  /** By `pathId`. A value reached through an alias or a merge key has an entry at every path that leads to it. */
  readonly entries: ReadonlyMap<string, Entry>;
  /** Keys that occur a second time in their mapping. */
  readonly duplicates: readonly Entry[];
  position(node: Node | null | undefined): Position;
}

/** Messages for the error codes of the parser. Its own messages quote the file, which may contain secrets. */
const SYNTAX: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'this alias has no anchor',
  BAD_DQ_ESCAPE: 'unknown escape in a double-quoted text; use single quotes, or write `\\\\` for a backslash',
  BAD_INDENT: 'wrong indentation; start all keys of one mapping in the same column',
  BAD_SCALAR_START: 'a text must not start with this character; put the text in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'two keys on one line, or wrong indentation; if this is one text, put it in quotes',
  BLOCK_IN_FLOW: 'indented keys or lists are not allowed inside `{ }` or `[ ]`',
  KEY_OVER_1024_CHARS: 'the key is too long',
  MISSING_CHAR: 'a bracket, a quote, a comma or a colon is missing here',
  MULTILINE_IMPLICIT_KEY: 'a key must be on one line; is a `:` missing, or the indentation wrong?',
  MULTIPLE_DOCS: 'a second document starts here (`---`); the configuration must be one document',
  TAB_AS_INDENT: 'a tab is used for indentation; use spaces',
  TAG_RESOLVE_FAILED: 'tags (`!name`) are not supported',
  UNEXPECTED_TOKEN: 'unexpected text here; check the quotes and brackets before it',
};

function syntaxProblem(code: string, line: string): string {
  const invisible = invisibleCharacter(line);
  if (invisible !== undefined) return `the line ${invisible}`;
  const message = SYNTAX[code] ?? 'not valid YAML';
  const start = line.search(/[{,[]/);
  const flow = start !== -1 && /(?<!["'])\$\{/.test(line.slice(start + 1)) && code !== 'MULTIPLE_DOCS';
  return flow ? `${message} (inside \`{ }\` or \`[ ]\`, write "\${NAME}" in quotes)` : message;
}

/**
 * Parses the text of a configuration file.
 * @throws ConfigError with every syntax error
 */
export function parseSource(file: string, text: string): Source {
  if (text.includes('\0')) {
    const message = 'the file contains U+0000 NULL, as text in UTF-16 does; save it as UTF-8';
    throw new ConfigError([{ file, line: 1, column: 1, key: '', message }]);
  }
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true, uniqueKeys: false });
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const problem = (offset: number, message: string): ConfigProblem => ({
    file,
    ...position(offset),
    key: '',
    message,
  });
  const problems = [...doc.errors, ...doc.warnings].map(({ code, pos }) => {
    const line = text.split('\n')[position(pos[0]).line - 1] ?? '';
    return problem(pos[0], syntaxProblem(code, line));
  });
  if (problems.length > 0) throw new ConfigError(inOrder(problems));
  const offsetOf = (node: Node | null | undefined) => node?.range?.[0] ?? 0;
  const error = shapeError(doc);
  if (error !== undefined) throw new ConfigError([problem(offsetOf(error.node), error.message)]);
  const values = valuesOf(doc, file);
  const index = indexed(doc);
  const odd = [...index.entries.values()].find(({ path }) => path.at(-1) === '__proto__');
  if (odd !== undefined) throw new ConfigError([problem(offsetOf(odd.key), '`__proto__` cannot be a key')]);
  return { file, values, ...index, position: (node) => position(offsetOf(node)) };
}

export function inOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const unique = new Map(problems.map((problem) => [`${problem.line}:${problem.column}:${problem.message}`, problem]));
  return [...unique.values()].sort((a, b) => a.line - b.line || a.column - b.column);
}

interface ShapeError {
  readonly node: Node | null;
  readonly message: string;
}

function shapeError(doc: Document): ShapeError | undefined {
  const top = doc.contents;
  if (top === null || (isScalar(top) && top.value === null)) {
    return {
      node: top,
      message: 'the file is empty; add at least one route, `wakala providers mpesa` shows an example',
    };
  }
  const [error] = nodeErrors(doc);
  if (error !== undefined) return error;
  if (!isMap(top)) {
    return { node: top, message: 'the file must start with keys such as `routes:`, not with a list or a single value' };
  }
  return undefined;
}

function nodeErrors(doc: Document): ShapeError[] {
  const errors: ShapeError[] = [];
  visit(doc, {
    Alias(_, alias) {
      if (alias.resolve(doc) === undefined) errors.push({ node: alias, message: 'this alias has no anchor before it' });
    },
    Pair(_, { key }) {
      if (isScalar(key) && key.value !== null) return;
      errors.push({ node: isNode(key) ? key : null, message: 'a key must be a text' });
    },
  });
  return errors;
}

/** Plain values. An anchor that is used twice becomes two values, so that each can be changed alone. */
function valuesOf(doc: Document, file: string): unknown {
  try {
    return JSON.parse(JSON.stringify(doc.toJS()));
  } catch {
    const message = 'anchors and aliases form a circle, or expand too far; write the values out';
    throw new ConfigError([{ file, line: 1, column: 1, key: '', message }]);
  }
}

function indexed(doc: Document): Pick<Source, 'entries' | 'duplicates'> {
  const entries = new Map<string, Entry>();
  const duplicates: Entry[] = [];

  function add(place: Omit<Entry, 'keys'>): void {
    const entry = { ...place, keys: [] };
    if (entries.has(pathId(entry.path))) {
      duplicates.push(entry);
      return;
    }
    entries.set(pathId(entry.path), entry);
    entries.get(pathId(entry.path.slice(0, -1)))?.keys.push(String(entry.path.at(-1)));
    walk(isAlias(entry.value) ? (entry.value.resolve(doc) ?? null) : entry.value, entry.path);
  }

  function walk(node: Node | null, path: Path): void {
    if (isSeq<Node>(node)) node.items.forEach((value, i) => add({ path: [...path, i], key: undefined, value }));
    if (!isMap<Node, Node | null>(node)) return;
    for (const pair of node.items) {
      if (!isMerge(pair)) add({ path: [...path, keyText(pair.key)], key: pair.key, value: pair.value });
    }
    for (const pair of node.items.filter(isMerge)) merge(pair.value, path);
  }

  function merge(value: Node | null, path: Path): void {
    const node = isAlias(value) ? (value.resolve(doc) ?? null) : value;
    if (isSeq<Node>(node)) for (const item of node.items) merge(item, path);
    if (!isMap<Node, Node | null>(node)) return;
    for (const pair of node.items) {
      const childPath = [...path, keyText(pair.key)];
      if (isMerge(pair)) merge(pair.value, path);
      else if (!entries.has(pathId(childPath))) add({ path: childPath, key: pair.key, value: pair.value });
    }
  }

  add({ path: [], key: undefined, value: doc.contents });
  return { entries, duplicates };
}

function isMerge(pair: Pair<Node, Node | null>): boolean {
  return isScalar(pair.key) && (pair.key.value === '<<' || typeof pair.key.value === 'symbol');
}

function keyText(key: Node): string {
  return isScalar<string | number | boolean>(key) ? String(key.value) : '';
}

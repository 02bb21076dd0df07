// Checks the types of src/, and makes the declarations of the library: those of its entries, and everything that they
// reach in other files.
import path from 'node:path';
import ts from 'typescript';

const ENTRIES = ['library/index.ts', 'library/hono.ts'];
/** The type of a configuration. It is shipped expanded, without the schemas that it is computed from. */
const SPELLED_OUT = 'WakalaConfig';

const { NodeBuilderFlags: Flags, factory } = ts;
const SPELLING =
  Flags.NoTruncation | Flags.InTypeAlias | Flags.MultilineObjectLiterals | Flags.UseSingleQuotesForStringLiteralType;

/** @returns the text of each file, by its path in dist/. @throws Error with every type error, as tsc prints it */
export function declarations(root) {
  const program = checkedProgram(root);
  const texts = new Map();
  /** Names that other files need of a file. Entries are needed as a whole. */
  const needed = new Map();
  const queue = [...ENTRIES];
  for (const file of queue) {
    const source = program.getSourceFile(path.join(root, 'src', file));
    if (source === undefined) throw new Error(`src/${file} is missing`);
    const { text, needs } = declarationOf(program, source, needed.get(file));
    texts.set(file.replace(/\.ts$/, '.d.ts'), text);
    for (const [specifier, names] of needs) {
      const other = path.posix.join(path.posix.dirname(file), specifier);
      const known = needed.get(other) ?? new Set();
      if (ENTRIES.includes(other) || names.every((name) => known.has(name))) continue;
      needed.set(other, new Set([...known, ...names]));
      queue.push(other);
    }
  }
  return texts;
}

function checkedProgram(root) {
  const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (problem) => refuse([problem]) };
  const { fileNames, options, errors } = ts.getParsedCommandLineOfConfigFile(
    path.join(root, 'tsconfig.build.json'),
    undefined,
    host,
  );
  const program = ts.createProgram(fileNames, options);
  refuse([...errors, ...ts.getPreEmitDiagnostics(program)]);
  return program;
}

/** @param names the names that other files need; undefined: all of them */
function declarationOf(program, source, names) {
  const needs = new Map();
  let text = '';
  const write = (_, written) => (text = written);
  const finish = (context) => (file) => {
    const spell = (node) => spelledOut(node, program.getTypeChecker());
    const spelled = ts.visitEachChild(file, spell, context);
    const statements = reached(spelled.statements, names);
    return factory.updateSourceFile(
      spelled,
      statements.map((node) => asCalled(node, needs, context)),
    );
  };
  const { diagnostics } = program.emit(source, write, undefined, true, { afterDeclarations: [finish] });
  refuse(diagnostics);
  return { text, needs };
}

function spelledOut(node, checker) {
  if (!ts.isTypeAliasDeclaration(node) || node.name.text !== SPELLED_OUT) return node;
  const type = checker.typeToTypeNode(checker.getTypeAtLocation(ts.getOriginalNode(node).name), undefined, SPELLING);
  return factory.updateTypeAliasDeclaration(node, node.modifiers, node.name, node.typeParameters, type);
}

/** The statements that declare these names, and the statements that these need, imports included. */
function reached(statements, names) {
  const isWanted = (node) =>
    !ts.isImportDeclaration(node) && (names === undefined || declares(node).some((name) => names.has(name)));
  const kept = new Set(statements.filter(isWanted));
  for (const node of kept) {
    const used = identifiers(node);
    for (const other of statements) if (declares(other).some((name) => used.has(name))) kept.add(other);
  }
  return statements.filter((node) => kept.has(node));
}

/** Names that a statement declares. */
function declares(node) {
  if (ts.isVariableStatement(node)) return node.declarationList.declarations.map(({ name }) => name.text);
  if (!ts.isImportDeclaration(node)) return node.name === undefined ? [] : [node.name.text];
  return node.importClause.namedBindings.elements.map(({ name }) => name.text);
}

function identifiers(node, found = new Set()) {
  if (ts.isIdentifier(node)) found.add(node.text);
  ts.forEachChild(node, (child) => void identifiers(child, found));
  return found;
}

/** An import or export with its path in dist/. Adds the names that it needs to `needs`. */
function asCalled(node, needs, context) {
  const from = node.moduleSpecifier?.text ?? '';
  if (!from.startsWith('.')) return node;
  const { elements } = node.importClause?.namedBindings ?? node.exportClause;
  const names = elements.map(({ name, propertyName }) => (propertyName ?? name).text);
  needs.set(from, [...(needs.get(from) ?? []), ...names]);
  const specifier = factory.createStringLiteral(from.replace(/\.ts$/, '.js'), true);
  return ts.visitEachChild(node, (child) => (child === node.moduleSpecifier ? specifier : child), context);
}

function refuse(problems) {
  if (problems.length === 0) return;
  const host = {
    getCurrentDirectory: () => process.cwd(),
    getCanonicalFileName: (name) => name,
    getNewLine: () => '\n',
  };
  const format = process.stderr.isTTY ? ts.formatDiagnosticsWithColorAndContext : ts.formatDiagnostics;
  throw new Error(format(problems, host).trimEnd());
}

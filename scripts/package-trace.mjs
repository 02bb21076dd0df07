// Maps positions in stack traces of the package to src/. Run it in a checkout of the commit that `wakala --version`
// prints: `npm run --silent package:trace < trace.txt`. Other text stays unchanged.
import { SourceMap } from 'node:module';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { bundle } from './build/bundle.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
/** A position in dist/, as V8 writes it: `file:///app/dist/chunks/server-core.js:10:4`. */
const POSITION = /[^\s()"]*[\\/]dist[\\/]((?:[\w.-]+[\\/])?[\w.-]+\.js):(\d+):(\d+)/g;

const files = await bundle(ROOT);
process.stdout.write((await text(process.stdin)).replace(POSITION, sourcePosition));

function sourcePosition(position, file, line, column) {
  const name = file.replaceAll('\\', '/');
  const built = files.get(name);
  if (built === undefined) return position;
  const { originalSource, originalLine, originalColumn } = new SourceMap(built.map).findEntry(line - 1, column - 1);
  if (originalSource === undefined) return position;
  const source = path.posix.join('dist', path.posix.dirname(name), originalSource);
  return `${source}:${originalLine + 1}:${originalColumn + 1}`;
}

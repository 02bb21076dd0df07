// src/ as the JavaScript of the package. Fewer files start faster, and without comments and the names of what is local
// it is half as large. A stack trace can still be read: there is a line for each statement, classes and their public
// methods keep their names, and so do functions in the rooms that a request walks through. `npm run package:trace` leads
// one back to src/.
import path from 'node:path';
import { rolldown } from 'rolldown';
import { minify } from 'terser';

const ENTRIES = ['cli', 'library/index', 'library/hono'];
/** Rooms whose functions lose their names: 14 KB of the 500 that the package may have. */
const UNNAMED = /^chunks\/(admin|commands|config|emulators|providers)-/;

/** What package.json asks for is found where it runs; all that is ours is in the bundle. */
const isPackage = (id) => !id.startsWith('.') && !path.isAbsolute(id);

/** @returns for each file, by its path in dist/, `code`, and `map`: its source map, with paths from dist/ */
export async function bundle(root) {
  const src = path.join(root, 'src');
  const build = await rolldown({
    input: Object.fromEntries(ENTRIES.map((name) => [name, path.join(src, `${name}.ts`)])),
    platform: 'node',
    external: isPackage,
    onLog: (level, { message }) => {
      if (level === 'warn') throw new Error(message);
    },
  });
  try {
    const { output } = await build.generate({
      format: 'esm',
      comments: false,
      sourcemap: 'hidden',
      dir: path.join(root, 'dist'),
      entryFileNames: '[name].js',
      chunkFileNames: ({ facadeModuleId, moduleIds }) =>
        `chunks/${chunkName(path.relative(src, facadeModuleId ?? moduleIds.at(-1)))}.js`,
    });
    const chunks = output.filter(({ type }) => type === 'chunk');
    return new Map(await Promise.all(chunks.map(async (chunk) => [chunk.fileName, await shrunk(chunk)])));
  } finally {
    await build.close();
  }
}

/** A chunk is called after the module that needs the others of it: `proxy-gateway`. */
const chunkName = (file) => file.replace(/\.ts$/, '').replaceAll(path.sep, '-');

async function shrunk({ fileName, code, map }) {
  // The bundler writes classes as `var Name = class`: their names are those of variables.
  const reserved = [...code.matchAll(/^var ([\w$]+) = class\b/gm)].map(([, name]) => name);
  const names = { keep_classnames: true, keep_fnames: !UNNAMED.test(fileName) };
  const small = await minify(code, {
    module: true,
    ...names,
    mangle: { ...names, reserved },
    compress: { ...names, sequences: false },
    format: { semicolons: false },
    sourceMap: { content: map, asObject: true },
  });
  return { code: `${small.code}\n`, map: small.map };
}

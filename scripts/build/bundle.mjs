// Bundles src/ as the JavaScript of the package. Fewer files start faster, and without comments and local names the
// package is half as large. Stack traces stay readable: each statement has a line, and classes, their public methods and
// the functions of the layers on the data path keep their names. `npm run package:trace` maps a trace to src/.
import path from 'node:path';
import { rolldown } from 'rolldown';
import { minify } from 'terser';

const ENTRIES = ['cli', 'library/index', 'library/hono'];
/** Layers whose functions lose their names, which saves 14 KB. */
const UNNAMED = /^chunks\/(admin|commands|config|emulators|providers)-/;

/** Dependencies are not bundled. */
const isPackage = (id) => !id.startsWith('.') && !path.isAbsolute(id);

/** @returns `code` and `map` (its source map, with paths from dist/) of each file, by its path in dist/ */
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

/** A chunk is named after the module that imports its others: `proxy-gateway`. */
const chunkName = (file) => file.replace(/\.ts$/, '').replaceAll(path.sep, '-');

async function shrunk({ fileName, code, map }) {
  // The bundler writes classes as `var Name = class`, so their names are names of variables.
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

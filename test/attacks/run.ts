// Attacks the built product on a Node of choice. The last line is "N passed, N failed".
import { parseArgs } from 'node:util';
import path from 'node:path';
import { ATTACKS } from './attacks.ts';
import { KINDS, targetName, runMatrix } from './matrix.ts';

const USAGE = `npm run attacks [-- OPTIONS]: attacks the built product as a stranger would

  --node PATH      the Node that runs it (this one)
  --package PATH   folder of an installed package (this repository)
  --only TEXT      only the attacks that have this in their promise
  --target TEXT    only the targets that have this in their name
`;

const ROOT = path.resolve(import.meta.dirname, '../..');
const { values: options } = parseArgs({
  options: {
    node: { type: 'string', default: process.execPath },
    package: { type: 'string', default: ROOT },
    only: { type: 'string', default: '' },
    target: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});

async function main(): Promise<void> {
  if (options.help) {
    console.log(USAGE);
    return;
  }
  const product = {
    node: path.resolve(options.node),
    cli: path.join(options.package, 'dist/cli.js'),
    // A package may import itself; one that is installed is imported by what stands beside it.
    folder: options.package === ROOT ? import.meta.dirname : path.resolve(options.package, '../..'),
  };
  const kinds = KINDS.filter((kind) => targetName(kind).includes(options.target));
  const attacks = ATTACKS.filter(({ row: row, promise }) => `${row} ${promise}`.includes(options.only));
  let [passed, failed] = [0, 0];
  await runMatrix(
    product,
    ({ kind, attack, broken }) => {
      if (broken === undefined) passed += 1;
      else failed += 1;
      console.log(`${broken === undefined ? 'ok     ' : 'FAILED '} ${targetName(kind)}: ${attack.promise}`);
      if (broken !== undefined) console.log(broken.message.replace(/^/gm, '        '));
    },
    { kinds, attacks },
  );
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

await main();

// Attacks the built product. The last line of the output is "N passed, N failed".
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ATTACKS } from './attacks.ts';
import { KINDS, runMatrix, targetName } from './matrix.ts';

const USAGE = `npm run attacks [-- OPTIONS]: attacks the built product over the network

  --node PATH      Node executable (default: this one)
  --package PATH   folder of an installed package (default: this repository)
  --only TEXT      run only attacks with this text in their title
  --target TEXT    run only targets with this text in their name
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
    // This repository can import itself. An installed package is imported from the folder of node_modules.
    folder: options.package === ROOT ? import.meta.dirname : path.resolve(options.package, '../..'),
  };
  const kinds = KINDS.filter((kind) => targetName(kind).includes(options.target));
  const attacks = ATTACKS.filter(({ row, promise }) => `${row} ${promise}`.includes(options.only));
  let [passed, failed] = [0, 0];
  await runMatrix(
    product,
    ({ kind, attack, failure }) => {
      if (failure === undefined) passed += 1;
      else failed += 1;
      console.log(`${failure === undefined ? 'ok     ' : 'FAILED '} ${targetName(kind)}: ${attack.promise}`);
      if (failure !== undefined) console.log(failure.message.replace(/^/gm, '        '));
    },
    { kinds, attacks },
  );
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

await main();

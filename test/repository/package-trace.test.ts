import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { BUILD_TIMEOUT_MS, ROOT, run, script, temporaryFolder } from './packed.ts';

/** Throws an error in nested calls and prints its stack. */
const THROWING = (library: string) => `
import { createWakala } from ${JSON.stringify(library)};
try {
  createWakala({ config: { routes: {} } });
} catch (error) {
  console.log(error.stack);
}
`;

/** `src/config/load.ts:10` for each frame of this project. */
function places(trace: string): string[] {
  return [...trace.matchAll(/(src\/[\w/-]+\.ts:\d+):\d+/g)].map(([, place = '']) => place);
}

test('package:trace maps a stack trace of dist/ to the lines of src/', { timeout: BUILD_TIMEOUT_MS }, () => {
  const folder = temporaryFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  script('build.mjs');
  const traceOf = (library: string) => {
    const file = path.join(folder, 'throwing.mjs');
    writeFileSync(file, THROWING(path.join(ROOT, library)));
    return run(process.execPath, [file], { cwd: folder });
  };
  const built = traceOf('dist/library/index.js');
  expect(built).toMatch(/at createWakala \(.*dist\/chunks\/library-index\.js:\d+:\d+\)/);

  const line = '{"level":"error","msg":"a response failed","at":"elsewhere/dist/chunks/none.js:1:1"}';
  const traced = script('package-trace.mjs', [], { input: `${built}${line}\n` });
  const fromSources = places(traceOf('src/library/index.ts'));
  expect(fromSources.length).toBeGreaterThan(2);
  expect(places(traced)).toEqual(fromSources);
  expect(traced).not.toMatch(/dist\/chunks\/(?!none)/);
  expect(traced).toContain(line);
});

import { defineConfig } from 'vitest/config';

/** These keep both cores busy for minutes: other tests beside them would run into their time limits. */
const LOAD = ['test/attacks/**/*.test.ts', 'test/soak/hostile-clients.test.ts', 'test/hostile/*-memory.test.ts'];

export default defineConfig({
  test: {
    environment: 'node',
    globals: false,
    pool: 'forks',
    testTimeout: 20_000,
    hookTimeout: 20_000,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', 'json'],
    // `.ci/run` counts the tests from it.
    outputFile: { json: 'node_modules/.cache/vitest.json' },
    projects: [
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['test/**/*.test.ts'],
          exclude: LOAD,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: 'load', include: LOAD, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
});

import { defineConfig } from 'vitest/config';

/** These tests use both cores for minutes. Other tests beside them would time out. */
const LOAD = ['test/attacks/**/*.test.ts', 'test/soak/hostile-clients.test.ts', 'test/hostile/*-memory.test.ts'];

export default defineConfig({
  test: {
    environment: 'node',
    globals: false,
    pool: 'forks',
    testTimeout: 20_000,
    hookTimeout: 20_000,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', 'json'],
    // `.ci/run` reads this report.
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

import { defineConfig } from 'vitest/config';

/** Tests that run one after the other, behind all others. */
const ALONE = [
  // They use both cores for minutes, and others beside them would time out.
  'test/attacks/**/*.test.ts',
  'test/soak/hostile-clients.test.ts',
  'test/hostile/*-memory.test.ts',
  // It uses the ports of the documents: 8080, 9901 and those of the emulators.
  'test/docs/commands.test.ts',
];

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
          exclude: ALONE,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
});

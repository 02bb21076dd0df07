import { defineConfig } from 'eslint/config';
import regexp from 'eslint-plugin-regexp';
import importSort from 'eslint-plugin-simple-import-sort';
import tseslint from 'typescript-eslint';

const NO_MODULE_STATE = ['Program > VariableDeclaration', 'Program > ExportNamedDeclaration > VariableDeclaration'].map(
  (selector) => ({
    selector: `${selector}[kind="let"]`,
    message: 'Keep state in an object that is created and passed in, not in the module.',
  }),
);

const READS_ENVIRONMENT = {
  object: 'process',
  property: 'env',
  message: 'Only config/load.ts, server/ and commands/ may read the environment.',
};
const LOADS_MUCH = {
  name: 'node:http',
  allowTypeImports: true,
  message: 'Import `http` from src/http/node-internals.ts: an import of node:http loads a second HTTP client.',
};
const READS_DISK = ['fs', 'node:fs', 'fs/promises', 'node:fs/promises'].map((name) => ({
  name,
  message: 'Only config/disk.ts, admin/assets.ts, server/ and commands/ may read files.',
}));
const PASSED_IN = 'Pass time, chance and the network in, so that tests can control them.';

export default defineConfig(
  { ignores: ['dist/', 'coverage/', 'node_modules/', 'bench/node_modules/', 'bench/proxies/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },

  {
    name: 'every file',
    files: ['**/*.{ts,js,mjs}'],
    plugins: { 'import-sort': importSort },
    rules: {
      // Node's modules, then packages, then files: parents, siblings.
      'import-sort/imports': ['error', { groups: [['^node:', '^@?\\w', '^\\.\\.', '^\\.']] }],
      eqeqeq: ['error', 'always'],
      'no-var': 'error',
      'prefer-const': 'error',
      'no-unused-private-class-members': 'error',
      'no-unreachable-loop': 'error',
      'no-self-compare': 'error',
      'no-template-curly-in-string': 'error',
      'no-constructor-return': 'error',
      'no-param-reassign': 'error',
      'no-unsafe-finally': 'error',
      'no-debugger': 'error',
    },
  },

  {
    name: 'TypeScript, with types',
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/prefer-readonly': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { attributes: false } }],
      // An implementation of an asynchronous interface may be synchronous.
      '@typescript-eslint/require-await': 'off',
      // The declared types of headers and parsed JSON are not reliable, so runtime checks are needed.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-dynamic-delete': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
    },
  },

  {
    name: 'src',
    files: ['src/**/*.ts'],
    plugins: { regexp },
    rules: {
      // The time to match a hostile text must not grow with the square of its length.
      'regexp/no-super-linear-backtracking': ['error', { report: 'potential' }],
      'regexp/no-super-linear-move': ['error', { report: 'potential', ignorePartial: false }],
      'no-console': 'error',
      'no-restricted-syntax': ['error', ...NO_MODULE_STATE],
      'no-restricted-properties': ['error', READS_ENVIRONMENT],
      '@typescript-eslint/no-restricted-imports': ['error', { paths: [LOADS_MUCH] }],
      'no-restricted-imports': [
        'error',
        { paths: [...READS_DISK, { name: 'node:process', importNames: ['env'], message: READS_ENVIRONMENT.message }] },
      ],
    },
  },
  {
    name: 'layers that are not loaded in production',
    files: ['src/emulators/**/*.ts'],
    rules: { '@typescript-eslint/no-restricted-imports': 'off' },
  },
  {
    name: 'layers that read the disk and the environment',
    files: [
      'src/admin/assets.ts',
      'src/config/disk.ts',
      'src/config/load.ts',
      'src/server/**/*.ts',
      'src/commands/**/*.ts',
      'src/cli.ts',
    ],
    rules: { 'no-restricted-properties': 'off', 'no-restricted-imports': 'off' },
  },
  {
    name: 'layers that talk to the terminal',
    files: ['src/commands/**/*.ts', 'src/cli.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    name: 'tokens: time, chance and network are passed in',
    files: ['src/tokens/**/*.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...['fetch', 'setTimeout', 'setInterval', 'setImmediate', 'performance'].map((name) => ({
          name,
          message: PASSED_IN,
        })),
      ],
      'no-restricted-properties': [
        'error',
        READS_ENVIRONMENT,
        { object: 'Date', property: 'now', message: PASSED_IN },
        { object: 'Math', property: 'random', message: PASSED_IN },
      ],
      'no-restricted-syntax': [
        'error',
        ...NO_MODULE_STATE,
        { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: PASSED_IN },
        { selector: 'ImportDeclaration[source.value=/^node:timers/]', message: PASSED_IN },
      ],
    },
  },

  {
    name: 'test',
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-base-to-string': 'off',
      '@typescript-eslint/unbound-method': 'off',
      // Configuration texts hold ${NAME} on purpose.
      'no-template-curly-in-string': 'off',
    },
  },

  {
    name: 'scripts',
    files: ['**/*.{js,mjs}'],
    languageOptions: {
      globals: Object.fromEntries(
        ['process', 'console', 'URL', 'fetch', 'setTimeout', 'setInterval', 'clearInterval'].map((name) => [
          name,
          false,
        ]),
      ),
    },
    rules: { 'no-undef': 'error', 'no-unused-vars': 'error' },
  },

  {
    name: 'the script of the dashboard, which runs in a browser',
    files: ['src/admin/assets/*.js'],
    languageOptions: {
      sourceType: 'script',
      globals: {
        ...Object.fromEntries(
          ['DOMParser', 'EventSource', 'Node', 'document', 'history', 'location', 'navigator'].map((name) => [
            name,
            false,
          ]),
        ),
        process: 'off',
      },
    },
  },
  {
    name: 'examples, some of which run in a browser',
    files: ['examples/**/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        ['AbortSignal', 'Buffer', 'FormData', 'crypto', 'document'].map((name) => [name, false]),
      ),
    },
  },
);

/**
 * The layers of src/, from bottom to top: a layer imports itself and what its row names. `base` is the files of src/
 * itself without cli.ts. Of a layer under `types`, only types may be imported.
 */
const LAYERS = {
  base: { imports: [] },
  providers: { imports: ['base'] },
  diagnosis: { imports: ['base', 'providers'] },
  http: { imports: ['base', 'diagnosis'] },
  signing: { imports: ['base', 'http', 'providers'] },
  config: { imports: ['base', 'http', 'providers', 'signing'] },
  tokens: { imports: ['base', 'http', 'providers', 'diagnosis', 'signing'], types: ['config'] },
  telemetry: { imports: ['base', 'http', 'diagnosis', 'tokens'] },
  proxy: { imports: ['base', 'http', 'providers', 'tokens', 'telemetry', 'signing'], types: ['config'] },
  admin: { imports: ['base', 'http', 'tokens', 'telemetry', 'diagnosis'], types: ['config'] },
  emulators: { imports: ['base', 'http', 'providers'], types: ['config'] },
  server: {
    imports: ['base', 'http', 'providers', 'config', 'tokens', 'telemetry', 'proxy', 'admin'],
  },
  library: { imports: ['base', 'http', 'providers', 'config', 'tokens', 'telemetry', 'proxy', 'server'] },
  commands: {
    imports: [
      'base',
      'http',
      'providers',
      'signing',
      'config',
      'tokens',
      'telemetry',
      'diagnosis',
      'proxy',
      'admin',
      'emulators',
      'server',
    ],
  },
};

const BASE = '^src/(?!cli\\.ts$)[^/]+$';
const pathOf = (layer) => (layer === 'base' ? BASE : `^src/${layer}/`);

const layerRules = Object.entries(LAYERS).flatMap(([layer, { imports, types = [] }]) => [
  {
    name: `${layer}-imports-downwards`,
    comment: `${layer} may import ${[...imports, ...types].join(', ') || 'nothing but itself'}.`,
    severity: 'error',
    from: { path: pathOf(layer) },
    to: { path: '^src/', pathNot: [layer, ...imports, ...types].map(pathOf) },
  },
  ...types.map((typesOf) => ({
    name: `${layer}-imports-only-types-of-${typesOf}`,
    comment: `Write \`import type\`: ${layer} does not depend on how ${typesOf} works.`,
    severity: 'error',
    from: { path: pathOf(layer) },
    to: { path: pathOf(typesOf), dependencyTypesNot: ['type-only'] },
  })),
]);

export default {
  forbidden: [
    ...layerRules,
    {
      name: 'no-cycles',
      comment: 'Two files that import each other, also for types only, cannot be read one after the other.',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'nothing-outside-src',
      comment: 'The package ships src/ alone.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench|scripts|deploy|examples)/' },
    },
    {
      name: 'no-orphans',
      comment: 'Nothing imports this file.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(cli\\.ts|library/(index|hono)\\.ts|admin/assets/.*)$', orphan: true },
      to: {},
    },
    {
      name: 'only-dependencies-of-package-json',
      comment: 'A development dependency is not installed with the package.',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'undetermined'],
        dependencyTypesNot: ['npm-peer', 'type-only'],
      },
    },
    {
      name: 'every-layer-has-a-row',
      comment: 'Add the new folder to LAYERS in .dependency-cruiser.mjs.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/cli\\.ts$', ...Object.keys(LAYERS).map(pathOf)] },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: 'specify',
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.json'],
      conditionNames: ['import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
    },
  },
};

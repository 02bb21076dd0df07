import path from 'node:path';

/**
 * Who may import whom. A room is a folder of src/; `base` is every file of src/ itself except cli.ts. A name alone
 * allows any import; `config (types)` allows `import type` only. A room may always import itself.
 */
export const ROOMS = {
  base: [],
  providers: ['base'],
  config: ['base', 'providers'],
  http: ['base'],
  tokens: ['base', 'providers'],
  telemetry: ['base'],
  proxy: ['base', 'http', 'providers', 'config (types)', 'tokens', 'telemetry'],
  admin: ['base', 'config (types)', 'tokens', 'telemetry'],
  emulators: ['base', 'providers', 'config (types)'],
  server: ['base', 'providers', 'config', 'tokens', 'telemetry', 'proxy', 'admin', 'emulators'],
  library: ['base', 'providers', 'config', 'tokens', 'telemetry', 'proxy', 'server'],
  commands: ['base', 'providers', 'config', 'tokens', 'telemetry', 'proxy', 'admin', 'emulators', 'server'],
  cli: ['base', 'providers', 'config', 'tokens', 'telemetry', 'proxy', 'admin', 'emulators', 'server', 'commands'],
};

/** The room of a path relative to the project, or undefined outside src/. */
export function roomOf(file) {
  const [top, ...rest] = file.split(path.sep);
  if (top !== 'src' || rest.length === 0) return undefined;
  if (rest.length > 1) return rest[0];
  return rest[0].replace(/\.[jt]s$/, '') === 'cli' ? 'cli' : 'base';
}

function allowedText(room) {
  return ROOMS[room].length === 0 ? 'nothing but itself' : `${ROOMS[room].join(', ')} and itself`;
}

export default {
  meta: {
    type: 'problem',
    docs: { description: 'Rooms of src/ import downward only' },
    schema: [],
    messages: {
      refused: '{{from}} may not import {{to}}. It may import {{allowed}}.',
      typesOnly: '{{from}} may import only types from {{to}}: write `import type`.',
      outside: '{{from}} may not import "{{source}}": it is outside src/ and not shipped.',
      unknown: 'src/{{room}}/ has no row in the table of scripts/eslint/room-fence.js.',
    },
  },

  create(context) {
    const from = roomOf(path.relative(context.cwd, context.filename));
    if (from === undefined) return {};
    if (!Object.hasOwn(ROOMS, from)) {
      return { Program: (node) => context.report({ node, messageId: 'unknown', data: { room: from } }) };
    }

    function check(node, source, typesOnly) {
      if (typeof source !== 'string' || !source.startsWith('.')) return;
      const to = roomOf(path.relative(context.cwd, path.resolve(path.dirname(context.filename), source)));
      if (to === undefined) {
        context.report({ node, messageId: 'outside', data: { from, source } });
      } else if (to !== from && !ROOMS[from].includes(to)) {
        const types = ROOMS[from].includes(`${to} (types)`);
        if (types && typesOnly) return;
        const messageId = types ? 'typesOnly' : 'refused';
        context.report({ node, messageId, data: { from, to, allowed: allowedText(from) } });
      }
    }

    return {
      ImportDeclaration: (node) => check(node, node.source.value, node.importKind === 'type'),
      ExportAllDeclaration: (node) => check(node, node.source.value, node.exportKind === 'type'),
      ExportNamedDeclaration: (node) => check(node, node.source?.value, node.exportKind === 'type'),
      ImportExpression: (node) => check(node, node.source.value, false),
      TSImportType: (node) => check(node, node.source?.value ?? node.argument?.literal?.value, true),
    };
  },
};

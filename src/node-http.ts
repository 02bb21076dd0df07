/**
 * `node:http`, without what an `import` of it brings along: that reads each of its exports, and `WebSocket` among them
 * loads a whole HTTP client, 13 MiB and 25 ms (docs/decisions/0007-speed.md). Types are imported as usual.
 */
export const http = process.getBuiltinModule('node:http');

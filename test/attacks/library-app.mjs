// An app that mounts the library as in docs/library.md. Its argument is a JSON file with `config` for the library and
// `tls` (`cert` and `key`) for the server.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createWakala } from 'wakala';

const { config, tls } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const wakala = createWakala({ config });
const server = tls === undefined ? http.createServer(wakala.handler) : https.createServer(tls, wakala.handler);
server.on('upgrade', wakala.upgrade);
server.listen(0, '127.0.0.1');
await once(server, 'listening');
process.stderr.write(`${JSON.stringify({ event: 'ready', listen: `127.0.0.1:${server.address().port}` })}\n`);

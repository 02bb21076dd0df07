// The lower limit for any Node server: it responds without forwarding.
import http from 'node:http';
import { port } from './settings.mjs';

const body = JSON.stringify({ status: 'ok', message: 'x'.repeat(170) });
http
  .createServer((req, res) => {
    req.resume();
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
    res.end(body);
  })
  .listen(port, '127.0.0.1');

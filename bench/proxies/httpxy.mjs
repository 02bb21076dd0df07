import http from 'node:http';
import { createProxyServer } from 'httpxy';
import { agent, authorization, port, upstream } from './settings.mjs';

const proxy = createProxyServer({ target: upstream, agent, headers: { authorization } });
http
  .createServer((req, res) => {
    proxy.web(req, res).catch(() => res.destroy());
  })
  .listen(port, '127.0.0.1');

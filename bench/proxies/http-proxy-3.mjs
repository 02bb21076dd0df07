import http from 'node:http';
import { createProxyServer } from 'http-proxy-3';
import { agent, authorization, port, upstream } from './settings.mjs';

const proxy = createProxyServer({ target: upstream, agent, headers: { authorization } });
proxy.on('error', (_error, _req, res) => res.destroy());
http.createServer((req, res) => proxy.web(req, res)).listen(port, '127.0.0.1');

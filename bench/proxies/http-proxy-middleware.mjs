import http from 'node:http';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { agent, authorization, port, upstream } from './settings.mjs';

const middleware = createProxyMiddleware({ target: upstream, agent, headers: { authorization } });
http.createServer((req, res) => middleware(req, res, () => res.destroy())).listen(port, '127.0.0.1');

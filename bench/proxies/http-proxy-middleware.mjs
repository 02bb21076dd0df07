import http from 'node:http';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { authorization, port, upstream } from './settings.mjs';

const agent = new http.Agent({ keepAlive: true });
const middleware = createProxyMiddleware({ target: upstream, agent, headers: { authorization } });
http.createServer((req, res) => middleware(req, res, () => res.destroy())).listen(port, '127.0.0.1');

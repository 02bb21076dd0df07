import http from 'node:http';
import fastProxy from 'fast-proxy';
import { authorization, port, upstream } from './settings.mjs';

const { proxy } = fastProxy({ base: upstream, undici: { connections: 64, pipelining: 1 } });
const rewriteRequestHeaders = (_req, headers) => ({ ...headers, authorization });
http.createServer((req, res) => proxy(req, res, req.url, { rewriteRequestHeaders })).listen(port, '127.0.0.1');

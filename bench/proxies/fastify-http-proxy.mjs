import Fastify from 'fastify';
import proxy from '@fastify/http-proxy';
import { authorization, port, upstream } from './settings.mjs';

const app = Fastify({ logger: false, bodyLimit: 64 * 1024 * 1024 });
app.register(proxy, {
  upstream,
  // Without `tls`, it does not verify certificates.
  undici: { connections: 64, pipelining: 1, tls: { rejectUnauthorized: true } },
  replyOptions: { rewriteRequestHeaders: (_req, headers) => ({ ...headers, authorization }) },
});
await app.listen({ port, host: '127.0.0.1' });

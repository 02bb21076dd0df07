import http from 'node:http';
import https from 'node:https';

/** Settings of every proxy of the benchmark: where to listen, where to send, and the constant token to put on. */
export const port = Number(process.env.PORT);
export const upstream = process.env.UPSTREAM;
export const authorization = `Bearer ${process.env.TOKEN}`;

/** Keeps connections to the upstream. Over TLS, Node verifies the certificate, with the CA in NODE_EXTRA_CA_CERTS. */
export const agent = new (upstream.startsWith('https:') ? https : http).Agent({ keepAlive: true });

import http from 'node:http';
import https from 'node:https';

/** Settings of all proxies: the port, the upstream and the constant token to add. */
export const port = Number(process.env.PORT);
export const upstream = process.env.UPSTREAM;
export const authorization = `Bearer ${process.env.TOKEN}`;

/** Keeps connections to the upstream. Node verifies certificates with the CA in NODE_EXTRA_CA_CERTS. */
export const agent = new (upstream.startsWith('https:') ? https : http).Agent({ keepAlive: true });

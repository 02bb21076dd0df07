import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type PaypalSdk from '@paypal/checkout-server-sdk';
import type k2Connect from 'k2-connect-node';
import type MpesaSdk from 'mpesa-node';
import type MomoSdk from 'mtn-momo';
import type * as PaypackSdk from 'paypack-js';
import type paypackHttp from 'paypack-js/build/http.js';
import { onTestFinished } from 'vitest';
import { EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import { type Login, newProcess } from './support.ts';

/** Each SDK as an app makes it when it starts, pointed at `baseUrl`. Nothing of an SDK's own files is touched. */

export function paypackJs(baseUrl: string, { id, secret }: Login) {
  const require = newProcess('paypack-js');
  const http = require('paypack-js/build/http.js') as typeof paypackHttp;
  http.defaults.baseURL = `${baseUrl}/`;
  const { default: Paypack } = require('paypack-js') as { default: typeof PaypackSdk.Paypack };
  return { http, paypack: new Paypack({ client_id: id, client_secret: secret }) };
}

/** The file of the key that the emulator decrypts with. */
function emulatedCertificate(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'wakala-sdk-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'public.pem');
  writeFileSync(file, EMULATED_PUBLIC_KEY);
  return file;
}

export function mpesaNode(baseUrl: string, { id, secret }: Login) {
  const require = newProcess('mpesa-node');
  const Mpesa = require('mpesa-node') as typeof MpesaSdk;
  const mpesa = new Mpesa({
    consumerKey: id,
    consumerSecret: secret,
    shortCode: '600000',
    initiatorName: 'testapi',
    lipaNaMpesaShortCode: '174379',
    lipaNaMpesaShortPass: 'emulated-mpesa-passkey',
    securityCredential: 'emulated-mpesa-initiator-password',
    certPath: emulatedCertificate(),
  });
  mpesa.baseURL = baseUrl;
  return mpesa;
}

/** `primaryKey` is the subscription key; Wakala puts its own in its place. */
export function mtnMomo(baseUrl: string, { id, secret }: Login, primaryKey = 'made-up-key') {
  const require = newProcess('mtn-momo');
  const momo = require('mtn-momo') as typeof MomoSdk;
  const { Collections } = momo.create({ baseUrl, callbackHost: 'shop.example' });
  return Collections({ userId: id, userSecret: secret, primaryKey });
}

export function k2ConnectNode(baseUrl: string, { id, secret }: Login) {
  const require = newProcess('k2-connect-node');
  const connect = require('k2-connect-node') as typeof k2Connect;
  return connect({ clientId: id, clientSecret: secret, baseUrl, apiKey: 'made-up-api-key' });
}

/** The SDK takes the host of its base URL and not the path, so an injector puts the path on. */
export function checkoutServerSdk(baseUrl: string, { id, secret }: Login) {
  const require = newProcess('@paypal/checkout-server-sdk');
  const paypal = require('@paypal/checkout-server-sdk') as typeof PaypalSdk;
  const { origin, pathname } = new URL(baseUrl);
  const client = new paypal.core.PayPalHttpClient(new paypal.core.PayPalEnvironment(id, secret, origin, origin));
  client.addInjector((request) => {
    request.path = pathname.replace(/\/$/, '') + request.path;
  });
  return { client, orders: paypal.orders };
}

import type { JsonObject } from '../json.ts';
import { type Answer, textOf } from './http.ts';
import { digits } from './ids.ts';
import type { Random } from './issuer.ts';

/** An error in Daraja's form. The status stands in front of the code. */
export function darajaError(random: Random, errorCode: string, errorMessage: string): Answer {
  const requestId = `${digits(random, 5)}-${digits(random, 8)}-1`;
  return { status: Number(errorCode.slice(0, 3)), body: { requestId, errorCode, errorMessage } };
}

/** What a field may hold, by its name. Others need only be there. */
const FORMATS: Readonly<Record<string, RegExp>> = {
  Amount: /^[1-9]\d*(?:\.\d+)?$/,
  BusinessShortCode: /^\d{5,7}$/,
  ShortCode: /^\d{5,7}$/,
  Timestamp: /^\d{14}$/,
  PhoneNumber: /^254[17]\d{8}$/,
  Msisdn: /^254[17]\d{8}$/,
  CallBackURL: /^https?:\/\/.+/,
  ResultURL: /^https?:\/\/.+/,
  QueueTimeOutURL: /^https?:\/\/.+/,
  ConfirmationURL: /^https?:\/\/.+/,
  ValidationURL: /^https?:\/\/.+/,
};

/** Daraja's answer to the first of these fields that is missing or wrong; undefined if all is well. */
export function invalidField(random: Random, body: JsonObject, names: readonly string[]): Answer | undefined {
  const wrong = names.find((name) => !(FORMATS[name] ?? /./).test(textOf(body, name)));
  return wrong === undefined ? undefined : darajaError(random, '400.002.02', `Bad Request - Invalid ${wrong}`);
}

/** Ten characters like those of an M-Pesa receipt. */
export function receipt(random: Random): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
  return [...random(10)].map((byte) => letters[byte % letters.length]).join('');
}

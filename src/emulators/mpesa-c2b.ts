import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import { type EmulatorApp, jsonBody, send, textOf } from './http.ts';
import { digits, eastAfricaStamp } from './ids.ts';
import { invalidField, receipt } from './mpesa-fields.ts';
import type { ApiContext } from './special.ts';

const MAX_SHORT_CODES = 1000;

/** Customer to business: a registered confirmation URL hears of every simulated payment. */
export function addC2b(app: EmulatorApp, context: ApiContext): void {
  const { random, callbacks } = context;
  const confirmationUrls = new LRUCache<string, string>({ max: MAX_SHORT_CODES });
  const accepted = (description: string) => ({
    // Daraja spells it so.
    OriginatorCoversationID: `${digits(random, 5)}-${digits(random, 8)}-1`,
    ResponseCode: '0',
    ResponseDescription: description,
  });

  app.post('/mpesa/c2b/:version{v[12]}/registerurl', async (c) => {
    const body = (await jsonBody(c)) ?? {};
    const refusal = invalidField(random, body, ['ShortCode', 'ResponseType', 'ConfirmationURL', 'ValidationURL']);
    if (refusal !== undefined) return send(c, refusal);
    confirmationUrls.set(textOf(body, 'ShortCode'), textOf(body, 'ConfirmationURL'));
    return c.json(accepted('Success'));
  });

  app.post('/mpesa/c2b/:version{v[12]}/simulate', async (c) => {
    const body = (await jsonBody(c)) ?? {};
    const refusal = invalidField(random, body, ['ShortCode', 'CommandID', 'Amount', 'Msisdn']);
    if (refusal !== undefined) return send(c, refusal);
    const url = confirmationUrls.get(textOf(body, 'ShortCode'));
    if (url !== undefined) callbacks.send(url, () => confirmation(body, context));
    return c.json(accepted('Accept the service request successfully.'));
  });
}

function confirmation(body: JsonObject, { clock, random }: ApiContext): JsonObject {
  return {
    TransactionType: textOf(body, 'CommandID') === 'CustomerBuyGoodsOnline' ? 'Buy Goods' : 'Pay Bill',
    TransID: receipt(random),
    TransTime: eastAfricaStamp(clock.now()),
    TransAmount: Number(textOf(body, 'Amount')).toFixed(2),
    BusinessShortCode: textOf(body, 'ShortCode'),
    BillRefNumber: textOf(body, 'BillRefNumber'),
    InvoiceNumber: '',
    OrgAccountBalance: '',
    ThirdPartyTransID: '',
    MSISDN: textOf(body, 'Msisdn'),
    FirstName: 'Emulated',
    MiddleName: '',
    LastName: 'Customer',
  };
}

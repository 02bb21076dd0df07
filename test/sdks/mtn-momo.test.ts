import { PayerType, type PaymentRequest } from 'mtn-momo';
import { describe, expect, it } from 'vitest';
import { mtnMomo } from './sdks.ts';
import { asClient, MADE_UP, SHOP, SHOP_LOGIN, startBothWays } from './support.ts';

const PAYMENT: PaymentRequest = {
  amount: '50',
  currency: 'EUR',
  externalId: 'INV-1',
  payer: { partyIdType: PayerType.MSISDN, partyId: '256774290781' },
  payerMessage: 'an order',
  payeeNote: 'an order',
};

describe('mtn-momo', () => {
  it('pays and asks for the status with credentials and a subscription key that MTN does not know', async () => {
    const { clock, direct, emulator, baseUrl } = await startBothWays('mtn-momo');
    const collections = mtnMomo(baseUrl, MADE_UP);
    const reference = await collections.requestToPay(PAYMENT);
    expect(await collections.getTransaction(reference)).toMatchObject({ amount: '50', status: 'PENDING' });
    clock.shiftMs += 1000;
    expect(await collections.getTransaction(reference)).toMatchObject({ amount: '50', status: 'SUCCESSFUL' });
    expect(await collections.getBalance()).toEqual({ availableBalance: '1000', currency: 'EUR' });
    expect(await collections.isPayerActive('256774290781')).toEqual({ result: true });
    expect(emulator.stats()).toMatchObject({ token_requests: 1, denied: 0, api_calls: 5, refused: 0 });

    await expect(mtnMomo(direct.apiUrl, MADE_UP).getBalance()).rejects.toMatchObject({ name: 'UnspecifiedError' });
    expect(direct.stats()).toMatchObject({ token_requests: 1, denied: 1, api_calls: 0 });
  });

  it("gets the provider's reason for a payment that failed", async () => {
    const { clock, baseUrl } = await startBothWays('mtn-momo');
    const collections = mtnMomo(baseUrl, MADE_UP);
    const payer = { ...PAYMENT.payer, partyId: '46733123451' };
    const reference = await collections.requestToPay({ ...PAYMENT, payer });
    clock.shiftMs += 1000;
    await expect(collections.getTransaction(reference)).rejects.toMatchObject({ name: 'ApprovalRejectedError' });
    await expect(collections.requestToPay({ ...PAYMENT, currency: 'UGX' })).rejects.toMatchObject({
      name: 'InvalidCurrencyError',
    });
  });

  it('calls on when the token dies; directly every call fails until its hour is over', async () => {
    const { direct, right, emulator, baseUrl } = await startBothWays('mtn-momo');
    const collections = mtnMomo(baseUrl, MADE_UP);
    await collections.getBalance();
    emulator.control({ expire_tokens: true });
    expect(await collections.requestToPay(PAYMENT)).toMatch(/^[0-9a-f-]{36}$/);
    expect(emulator.stats()).toMatchObject({ exchanges: 2, denied: 0, api_calls: 3, refused: 1 });

    const alone = mtnMomo(direct.apiUrl, right, subscriptionKeyOf(direct));
    await alone.getBalance();
    direct.control({ expire_tokens: true });
    await expect(alone.requestToPay(PAYMENT)).rejects.toMatchObject({ name: 'UnspecifiedError' });
    await expect(alone.getBalance()).rejects.toMatchObject({ name: 'UnspecifiedError' });
    expect(direct.stats()).toMatchObject({ exchanges: 1, api_calls: 3, refused: 2 });
  });
});

describe('mtn-momo at a gateway with clients', () => {
  const clients = [SHOP];

  it('logs in with the key and a name that is a UUID, and its placeholder is good for the calls', async () => {
    const { emulator, baseUrl } = await startBothWays('mtn-momo', { clients });
    const collections = mtnMomo(baseUrl, SHOP_LOGIN);
    expect(await collections.requestToPay(PAYMENT)).toMatch(/^[0-9a-f-]{36}$/);
    expect(await collections.getBalance()).toMatchObject({ currency: 'EUR' });
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 2 });
  });

  it('takes no name that is not a UUID, save in the base URL', async () => {
    const shop = { ...SHOP, name: 'shop' };
    const { baseUrl } = await startBothWays('mtn-momo', { clients: [shop] });
    expect(() => mtnMomo(baseUrl, { id: shop.name, secret: shop.key })).toThrow('userId must be a valid uuid v4');
    expect(await mtnMomo(asClient(baseUrl, shop), MADE_UP).getBalance()).toMatchObject({ currency: 'EUR' });
  });

  it('is refused with any other', async () => {
    const { emulator, baseUrl } = await startBothWays('mtn-momo', { clients });
    await expect(mtnMomo(baseUrl, MADE_UP).getBalance()).rejects.toMatchObject({ name: 'UnspecifiedError' });
    expect(emulator.stats()).toMatchObject({ token_requests: 0, api_calls: 0 });
  });
});

function subscriptionKeyOf({ credentials }: { credentials: ReadonlyMap<string, { reveal(): string }> }) {
  return credentials.get('subscription_key')?.reveal();
}

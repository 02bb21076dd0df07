const ACCOUNTS = '/v3-apis/account-api/v3.0';
export const TRANSACTIONS = '/v3-apis/transaction-api/v3.0';
export const REMITTANCE = `${TRANSACTIONS}/remittance`;
export const TRANSFER =
  '{"source":{"accountNumber":"1450160649886"},"destination":{"name":"Asha Otieno","accountNumber":"0060161911111"},' +
  '"transfer":{"amount":1000.00,"currencyCode":"KES","reference":"692494625798","date":"2026-01-01"}}';
const STATEMENT = '{"countryCode":"KE","accountNumber":"1450160649886","fromDate":"2026-01-01","toDate":"2026-01-31"}';
const STK =
  '{"merchant":{"accountNumber":"1450160649886","countryCode":"KE"},"payment":{"ref":"X67KFH","amount":"5.00",' +
  '"currency":"KES","telco":"Safaricom","mobileNumber":"254722000000"}}';

/** Path, body and the text that is signed: the fields that Jenga's documentation names, by hand. */
export const JENGA_CALLS: [path: string, body: string | undefined, text: string][] = [
  [`${ACCOUNTS}/accounts/balances/KE/1450160649886`, undefined, 'KE1450160649886'],
  [`${ACCOUNTS}/accounts/miniStatement/KE/1450160649886`, undefined, 'KE1450160649886'],
  [`${ACCOUNTS}/accounts/search/KE/1450160649886`, undefined, 'KE1450160649886'],
  [`${ACCOUNTS}/search/KE/1450160649886`, undefined, 'KE1450160649886'],
  [`${ACCOUNTS}/accounts/fullStatement`, STATEMENT, '1450160649886KE2026-01-31'],
  [
    `${ACCOUNTS}/accounts/accountBalance/query`,
    '{"countryCode":"KE","accountId":"1450160649886","date":"2026-01-01"}',
    '1450160649886KE2026-01-01',
  ],
  [
    `${ACCOUNTS}/account/validate`,
    '{"countryCode":"UG","accountNumber":"1036200681230","accountFullName":"ASHA OTIENO"}',
    'UG1036200681230ASHA OTIENO',
  ],
  [`${TRANSACTIONS}/transactions/details/692494625798`, undefined, '692494625798'],
  [`${REMITTANCE}/internalBankTransfer`, TRANSFER, '14501606498861000.00KES692494625798'],
  [`${REMITTANCE}/internalBankTransfer/imt`, TRANSFER, '14501606498861000.00KES692494625798'],
  [`${REMITTANCE}/sendmobile`, TRANSFER, '1000.00KES6924946257981450160649886'],
  [`${REMITTANCE}/sendmobile/imt`, TRANSFER, '1000.00KES6924946257981450160649886'],
  [`${REMITTANCE}/pesalinkacc`, TRANSFER, '1000.00KES692494625798Asha Otieno1450160649886'],
  [`${REMITTANCE}/pesalinkMobile`, TRANSFER, '1000.00KES692494625798Asha Otieno1450160649886'],
  [`${REMITTANCE}/rtgs`, TRANSFER, '6924946257982026-01-01145016064988600601619111111000.00'],
  [`${REMITTANCE}/swift`, TRANSFER, '6924946257982026-01-01145016064988600601619111111000.00'],
  ['/v3-apis/payment-api/v3.0/stkussdpush/initiate', STK, '1450160649886X67KFH254722000000Safaricom5.00KES'],
  [
    '/api-checkout/mpesa-stk-push/v3.0/init',
    '{"order":{"orderReference":"ORD-1"},"payment":{"paymentCurrency":"KES","details":{"msisdn":"0722000000","paymentAmount":5}}}',
    'ORD-1KES07220000005',
  ],
  [
    `${TRANSACTIONS}/tills/pay`,
    '{"merchant":{"till":"0766000000"},"payment":{"ref":"123456789123","amount":"1000.00","currency":"KES"},"partner":{"id":"0011547896523"}}',
    '076600000000115478965231000.00KES123456789123',
  ],
  [
    `${TRANSACTIONS}/bills/pay`,
    '{"biller":{"billerCode":"320320"},"bill":{"amount":"100.00"},"payer":{"reference":"123456729123"},"partnerId":"0011547896523"}',
    '320320100.001234567291230011547896523',
  ],
  [
    `${TRANSACTIONS}/airtime`,
    '{"customer":{"countryCode":"KE"},"airtime":{"amount":"100","reference":"212194600777","telco":"Safaricom"}}',
    'Safaricom100212194600777',
  ],
];

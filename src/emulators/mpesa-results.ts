import type { JsonObject, JsonValue } from '../json.ts';
import { type EmulatorApp, jsonBody, send, textOf } from './http.ts';
import { digits, eastAfricaStamp } from './ids.ts';
import { invalidField, receipt } from './mpesa-fields.ts';
import type { ApiContext } from './special.ts';

/** A command that is accepted at once and whose outcome comes to its `ResultURL`. */
interface Command {
  readonly path: string;
  readonly required: readonly string[];
  /** The named values of the outcome. */
  readonly result: (body: JsonObject, transactionId: string, stamp: string) => Readonly<Record<string, JsonValue>>;
}

const REPLY_FIELDS = ['Remarks', 'QueueTimeOutURL', 'ResultURL'];
const PAYMENT_FIELDS = ['SecurityCredential', 'CommandID', 'Amount', 'PartyA', 'PartyB', ...REPLY_FIELDS];
const ORDER_FIELDS = ['Initiator', 'SecurityCredential', 'CommandID'];

const b2cResult: Command['result'] = (body, transactionId, stamp) => ({
  TransactionAmount: Number(textOf(body, 'Amount')),
  TransactionReceipt: transactionId,
  B2CRecipientIsRegisteredCustomer: 'Y',
  ReceiverPartyPublicName: `${textOf(body, 'PartyB')} - Emulated Customer`,
  TransactionCompletedDateTime: stamp,
});

const COMMANDS: readonly Command[] = [
  { path: '/mpesa/b2c/v1/paymentrequest', required: ['InitiatorName', ...PAYMENT_FIELDS], result: b2cResult },
  {
    path: '/mpesa/b2c/v3/paymentrequest',
    required: ['OriginatorConversationID', 'InitiatorName', ...PAYMENT_FIELDS],
    result: b2cResult,
  },
  {
    path: '/mpesa/b2b/v1/paymentrequest',
    required: ['Initiator', ...PAYMENT_FIELDS],
    result: (body, _transactionId, stamp) => ({
      Amount: textOf(body, 'Amount'),
      TransCompletedTime: stamp,
      ReceiverPartyPublicName: `${textOf(body, 'PartyB')} - Emulated Business`,
      Currency: 'KES',
    }),
  },
  {
    path: '/mpesa/accountbalance/v1/query',
    required: [...ORDER_FIELDS, 'PartyA', 'IdentifierType', ...REPLY_FIELDS],
    result: (_body, _transactionId, stamp) => ({
      AccountBalance: 'Working Account|KES|100000.00|100000.00|0.00|0.00&Utility Account|KES|0.00|0.00|0.00|0.00',
      BOCompletedTime: stamp,
    }),
  },
  {
    path: '/mpesa/transactionstatus/v1/query',
    required: [...ORDER_FIELDS, 'TransactionID', 'PartyA', 'IdentifierType', 'QueueTimeOutURL', 'ResultURL'],
    result: (body, _transactionId, stamp) => ({
      ReceiptNo: textOf(body, 'TransactionID'),
      TransactionStatus: 'Completed',
      FinalisedTime: stamp,
    }),
  },
  {
    path: '/mpesa/reversal/v1/request',
    required: [...ORDER_FIELDS, 'TransactionID', 'Amount', 'ReceiverParty', ...REPLY_FIELDS],
    result: (body, _transactionId, stamp) => ({
      OriginalTransactionID: textOf(body, 'TransactionID'),
      Amount: Number(textOf(body, 'Amount')),
      TransCompletedTime: stamp,
    }),
  },
];

/** B2C, B2B, balance, status and reversal: all of them succeed. */
export function addCommands(app: EmulatorApp, context: ApiContext): void {
  for (const command of COMMANDS) {
    app.post(command.path, async (c) => {
      const body = (await jsonBody(c)) ?? {};
      const refusal = invalidField(context.random, body, command.required);
      if (refusal !== undefined) return send(c, refusal);
      const ids = {
        ConversationID: `AG_${eastAfricaStamp(context.clock.now()).slice(0, 8)}_${context.random(10).toString('hex')}`,
        OriginatorConversationID:
          textOf(body, 'OriginatorConversationID') || `${digits(context.random, 5)}-${digits(context.random, 8)}-1`,
      };
      context.callbacks.send(textOf(body, 'ResultURL'), () => outcome(command, body, ids, context));
      return c.json({
        ...ids,
        ResponseCode: '0',
        ResponseDescription: 'Accept the service request successfully.',
      });
    });
  }
}

function outcome(command: Command, body: JsonObject, ids: JsonObject, { clock, random }: ApiContext): JsonObject {
  const transactionId = receipt(random);
  const named = Object.entries(command.result(body, transactionId, eastAfricaStamp(clock.now())));
  return {
    Result: {
      ResultType: 0,
      ResultCode: 0,
      ResultDesc: 'The service request is processed successfully.',
      ...ids,
      TransactionID: transactionId,
      ResultParameters: { ResultParameter: named.map(([Key, Value]) => ({ Key, Value })) },
      ReferenceData: { ReferenceItem: { Key: 'QueueTimeoutURL', Value: textOf(body, 'QueueTimeOutURL') } },
    },
  };
}

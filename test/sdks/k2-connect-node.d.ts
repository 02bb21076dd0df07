/** The part of k2-connect-node that the tests use; it ships no types. */
declare module 'k2-connect-node' {
  interface Options {
    readonly clientId: string;
    readonly clientSecret: string;
    readonly baseUrl: string;
    readonly apiKey: string;
  }

  interface IncomingPayment {
    readonly paymentChannel: string;
    readonly tillNumber: string;
    readonly firstName: string;
    readonly lastName: string;
    readonly phoneNumber: string;
    readonly currency: string;
    readonly amount: number;
    readonly callbackUrl: string;
    readonly accessToken: string;
  }

  interface Located {
    readonly location: string;
    readonly accessToken: string;
  }

  interface Status {
    readonly data: { readonly id: string; readonly attributes: Readonly<Record<string, unknown>> };
  }

  interface K2 {
    readonly TokenService: { getToken(): Promise<{ readonly access_token: string; readonly expires_in: number }> };
    readonly StkService: {
      /** Gives the `Location` of the response. */
      initiateIncomingPayment(payment: IncomingPayment): Promise<string>;
      getStatus(located: Located): Promise<Status>;
    };
    readonly Webhooks: {
      subscribe(subscription: {
        readonly eventType: string;
        readonly url: string;
        readonly scope: string;
        readonly scopeReference: string;
        readonly accessToken: string;
      }): Promise<string>;
      getStatus(located: Located): Promise<Status>;
    };
  }

  function connect(options: Options): K2;
  namespace connect {
    export type { K2 };
  }
  export = connect;
}

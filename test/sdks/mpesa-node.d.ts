/** The part of mpesa-node that the tests use; it ships no types. */
declare module 'mpesa-node' {
  interface ApiResponse {
    readonly data: Readonly<Record<string, unknown>>;
  }

  class Mpesa {
    constructor(config: {
      readonly consumerKey: string;
      readonly consumerSecret: string;
      readonly environment?: 'sandbox' | 'production';
      readonly shortCode?: string;
      readonly initiatorName?: string;
      readonly lipaNaMpesaShortCode?: string;
      readonly lipaNaMpesaShortPass?: string;
      readonly securityCredential?: string;
      readonly certPath?: string;
    });
    baseURL: string;
    /** Logs in, and gives what sends calls with that token. */
    request(): Promise<{ post(path: string, body: object): Promise<ApiResponse> }>;
    lipaNaMpesaOnline(msisdn: string, amount: number, callbackUrl: string, accountRef: string): Promise<ApiResponse>;
    lipaNaMpesaQuery(checkoutRequestId: string): Promise<ApiResponse>;
    c2bRegister(confirmationUrl: string, validationUrl: string, shortCode?: string): Promise<ApiResponse>;
    c2bSimulate(msisdn: string, amount: number, billRefNumber: string): Promise<ApiResponse>;
    b2c(sender: string, receiver: string, amount: number, queueUrl: string, resultUrl: string): Promise<ApiResponse>;
  }
  export = Mpesa;
}

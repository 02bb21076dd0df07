/** The part of @paypal/checkout-server-sdk that the tests use; it ships no types. */
declare module '@paypal/checkout-server-sdk' {
  interface PayPalRequest {
    path: string;
  }

  interface Order {
    readonly id: string;
    readonly status: string;
  }

  export namespace core {
    class PayPalEnvironment {
      readonly baseUrl: string;
      constructor(clientId: string, clientSecret: string, baseUrl: string, webUrl: string);
    }
    class PayPalHttpClient {
      constructor(environment: PayPalEnvironment);
      addInjector(injector: (request: PayPalRequest) => void): void;
      execute(request: PayPalRequest): Promise<{ readonly statusCode: number; readonly result: Order }>;
    }
  }

  export namespace orders {
    class OrdersCreateRequest implements PayPalRequest {
      path: string;
      requestBody(order: object): this;
    }
    class OrdersGetRequest implements PayPalRequest {
      path: string;
      constructor(orderId: string);
    }
    class OrdersCaptureRequest implements PayPalRequest {
      path: string;
      constructor(orderId: string);
      requestBody(action: object): this;
    }
  }
}

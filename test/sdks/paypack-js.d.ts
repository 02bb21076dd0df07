/** The HTTP client of paypack-js; its own types leave it out. It is an instance of axios. */
declare module 'paypack-js/build/http.js' {
  interface PaypackResponse {
    readonly config: { readonly url?: string };
  }

  const http: {
    readonly defaults: { baseURL: string; readonly headers: { readonly common: Record<string, string> } };
    readonly interceptors: {
      readonly response: { use(onResponse: (response: PaypackResponse) => PaypackResponse): void };
    };
  };
  export = http;
}

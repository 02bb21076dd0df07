import { jeel } from './jeel.ts';
import { jpay } from './jpay.ts';
import { mpesa } from './mpesa.ts';
import { paypack } from './paypack.ts';
import type { Provider } from './provider.ts';
import { fixedToken } from './static.ts';

/** Every built-in provider. Adding one that is plain data is a file beside this one and a line here. */
export const providers: readonly Provider[] = [jpay, mpesa, jeel, paypack, fixedToken];

export function providerNamed(name: string): Provider | undefined {
  return providers.find((provider) => provider.name === name);
}

import { EMULATED_PRIVATE_KEY, EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';

/** A value for a credential or its variable: a key if its name says so, else this text. */
export function madeUp(variable: string, text = 'made-up'): string {
  if (/private_key$/i.test(variable)) return EMULATED_PRIVATE_KEY;
  return /(public_key|certificate)$/i.test(variable) ? EMULATED_PUBLIC_KEY : text;
}

import { EMULATED_PRIVATE_KEY, EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';

/** A value for the variable of a credential: a key if its name says so, else this text. */
export function madeUp(variable: string, text = 'made-up'): string {
  if (variable.endsWith('_PRIVATE_KEY')) return EMULATED_PRIVATE_KEY;
  return variable.endsWith('_PUBLIC_KEY') ? EMULATED_PUBLIC_KEY : text;
}

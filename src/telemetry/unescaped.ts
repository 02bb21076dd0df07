/** A text as a server that decodes it reads it, and where its characters stand in the original. */
export interface Unescaped {
  readonly text: string;
  /** Index in the original of each character, and at the end the original's length; undefined: they are the same. */
  readonly starts: Int32Array | undefined;
}

const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;

/** Characters that are converted into a string at once. */
const CHUNK = 8192;

/**
 * Decodes percent escapes, as often as there are any, and the `\u` escapes of JSON strings. A character that an escape
 * stands for may complete another escape, so each is decoded on a stack as soon as it is complete: one pass.
 */
export function unescaped(original: string): Unescaped {
  if (!/%|\\u/.test(original)) return { text: original, starts: undefined };
  const { length } = original;
  const codes = new Uint16Array(length);
  const starts = new Int32Array(length + 1);
  let top = 0;
  for (let i = 0; i < length; i++) {
    codes[top] = original.charCodeAt(i);
    starts[top] = i;
    top += 1;
    for (let size = escapeAtEnd(codes, top); size > 0; size = escapeAtEnd(codes, top)) {
      const code = hexValue(codes, size === 3 ? top - 2 : top - 4, top);
      top -= size;
      codes[top] = code;
      top += 1;
    }
  }
  starts[top] = length;
  return { text: textOf(codes.subarray(0, top)), starts };
}

/** Length of the escape that ends at `top`; 0 if there is none. */
function escapeAtEnd(codes: Uint16Array, top: number): number {
  if (!isHex(codes[top - 1]) || !isHex(codes[top - 2])) return 0;
  if (codes[top - 3] === PERCENT) return 3;
  const isUnicode = codes[top - 6] === BACKSLASH && codes[top - 5] === LOWER_U;
  return isUnicode && isHex(codes[top - 3]) && isHex(codes[top - 4]) ? 6 : 0;
}

function isHex(code = 0): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);
}

function hexValue(codes: Uint16Array, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) {
    const code = codes[i] ?? 0;
    value = value * 16 + (code <= 0x39 ? code - 0x30 : (code & 0xdf) - 0x37);
  }
  return value;
}

function textOf(codes: Uint16Array): string {
  let text = '';
  for (let i = 0; i < codes.length; i += CHUNK) text += String.fromCharCode(...codes.subarray(i, i + CHUNK));
  return text;
}

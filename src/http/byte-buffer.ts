const EMPTY = Buffer.alloc(0);

/** A first chunk may keep at most this much more memory alive than it has bytes. Bytes. */
const MAX_SLACK = 4096;

/** Smallest allocation. Bytes. */
const MIN_CAPACITY = 512;

/**
 * Bytes that arrive in pieces, in one growing buffer: it takes at most twice the memory of its bytes, however small the
 * pieces are. A list of the pieces would take some 400 bytes for each piece of one byte.
 */
export class ByteBuffer {
  /** The first chunk as it was given, or the bytes in a buffer of our own with room for more. */
  #store: Buffer = EMPTY;
  #isOwn = false;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** All bytes so far. Stays valid and unchanged when more are appended. */
  get bytes(): Buffer {
    return this.#length === this.#store.length ? this.#store : this.#store.subarray(0, this.#length);
  }

  /** A first chunk is not copied, unless it is a small part of a larger buffer. */
  append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (this.#length === 0 && chunk.buffer.byteLength - length <= MAX_SLACK) {
      this.#store = chunk;
      this.#isOwn = false;
    } else {
      if (!this.#isOwn || this.#store.length < length) this.#grow(length);
      this.#store.set(chunk, this.#length);
    }
    this.#length = length;
  }

  /** Empties it. @returns all bytes so far */
  take(): Buffer {
    const { bytes } = this;
    this.#store = EMPTY;
    this.#isOwn = false;
    this.#length = 0;
    return bytes;
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(this.#length === 0 ? needed : Math.max(2 * needed, MIN_CAPACITY));
    grown.set(this.bytes);
    this.#store = grown;
    this.#isOwn = true;
  }
}

const EMPTY = Buffer.alloc(0);

/** A first chunk is kept without a copy if its memory is at most this much larger than the chunk. Bytes. */
const MAX_UNUSED_BYTES = 4096;

/** Smallest allocation for more than one chunk. Bytes. */
const MIN_CAPACITY_BYTES = 512;

/**
 * Collects chunks in one growing buffer. It uses at most twice the memory of its bytes, however small the chunks are. A
 * list of chunks would use about 400 bytes for each chunk of one byte.
 */
export class ByteBuffer {
  /** The first chunk itself, or a larger buffer that belongs to this object. */
  #store: Buffer = EMPTY;
  #isOwned = false;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The bytes so far. The result stays valid and unchanged when more are appended. */
  get bytes(): Buffer {
    return this.#length === this.#store.length ? this.#store : this.#store.subarray(0, this.#length);
  }

  /** A first chunk is not copied, unless it is a small part of a large buffer. */
  append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (this.#length === 0 && chunk.buffer.byteLength - length <= MAX_UNUSED_BYTES) {
      this.#store = chunk;
      this.#isOwned = false;
    } else {
      if (!this.#isOwned || this.#store.length < length) this.#grow(length);
      this.#store.set(chunk, this.#length);
    }
    this.#length = length;
  }

  /** Removes and returns all bytes. */
  take(): Buffer {
    const { bytes } = this;
    this.#store = EMPTY;
    this.#isOwned = false;
    this.#length = 0;
    return bytes;
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(this.#length === 0 ? needed : Math.max(2 * needed, MIN_CAPACITY_BYTES));
    grown.set(this.bytes);
    this.#store = grown;
    this.#isOwned = true;
  }
}

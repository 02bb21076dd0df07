/** What a kernel read can fill. Bytes. */
const BUFFER_BYTES = 64 * 1024;
/** A read into less than this is not worth a system call; TLS gives 16 KiB at a time. Bytes. */
const MIN_READ_BYTES = 16 * 1024;
/** Free buffers that are kept: 4 MiB. */
const MAX_FREE = 64;

/** A buffer that one socket reads into, and whose pieces are read by others while it does. */
export class BufferLease {
  /** Bytes up to here have been read into it. */
  filledBytes = 0;
  /** Whether a socket may still read into it. */
  isAttached = true;
  /** Pieces that were given away and did not come back. */
  readonly slices = new Set<Buffer>();
  readonly memory: Buffer;

  constructor(memory: Buffer) {
    this.memory = memory;
  }
}

/**
 * Memory for reads from sockets, shared by all connections of a thread.
 *
 * Small reads go into `scratch`, whose bytes are copied before the next read. While a large body flows, its connection
 * reads into leased buffers instead, and the pieces are passed on without a copy. A leased buffer is read into again
 * only after every piece of it was given back. A piece that never comes back costs its memory until it is collected,
 * and nothing else.
 */
export class ReadBuffers {
  readonly scratch: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readonly #free: Buffer[] = [];
  /** By the memory that their pieces share. */
  readonly #leases = new WeakMap<ArrayBufferLike, BufferLease>();

  /** Free buffers that wait for a large body. */
  get freeCount(): number {
    return this.#free.length;
  }

  lease(): BufferLease {
    const lease = new BufferLease(this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES));
    this.#leases.set(lease.memory.buffer, lease);
    return lease;
  }

  /** Where the next read goes; undefined if there is too little room left. */
  freeSpace(lease: BufferLease): Buffer | undefined {
    if (lease.slices.size === 0) lease.filledBytes = 0;
    if (lease.filledBytes === 0) return lease.memory;
    return BUFFER_BYTES - lease.filledBytes < MIN_READ_BYTES ? undefined : lease.memory.subarray(lease.filledBytes);
  }

  /** A piece of what was read into a leased buffer, without a copy. */
  slice(lease: BufferLease, read: Buffer, start: number, end: number): Buffer {
    const piece = read.subarray(start, end);
    lease.slices.add(piece);
    return piece;
  }

  /** Nothing is read into it from now on, until all its pieces are back. */
  detach(lease: BufferLease): void {
    lease.isAttached = false;
    this.#reuse(lease);
  }

  /** Takes back a piece that nobody reads any more. Anything else, and a second time, is ignored. */
  release(piece: Buffer): void {
    const lease = this.#leases.get(piece.buffer);
    if (lease?.slices.delete(piece) === true) this.#reuse(lease);
  }

  #reuse(lease: BufferLease): void {
    if (lease.isAttached || lease.slices.size > 0) return;
    this.#leases.delete(lease.memory.buffer);
    if (this.#free.length < MAX_FREE) this.#free.push(lease.memory);
  }
}

/** A read from the kernel fills at most this much. Bytes. */
const BUFFER_BYTES = 64 * 1024;
/** Less free space is not worth a system call: a TLS record has up to 16 KiB. Bytes. */
const MIN_READ_BYTES = 16 * 1024;
/** Free buffers that are kept for reuse: 4 MiB. */
const MAX_FREE_BUFFERS = 64;

/** A buffer that one socket reads into while others still read slices of it. */
export class BufferLease {
  /** The socket has filled this much. */
  filledBytes = 0;
  /** Whether a socket may still read into it. */
  isAttached = true;
  /** Slices that were handed out and not returned. */
  readonly slices = new Set<Buffer>();
  readonly memory: Buffer;

  constructor(memory: Buffer) {
    this.memory = memory;
  }
}

/**
 * Memory for reads from sockets, shared by all connections of a thread.
 *
 * Small reads go into `scratch`, whose bytes are copied before the next read. A connection with a large body reads into
 * leased buffers instead and passes slices on without a copy. A leased buffer is reused only after every slice was
 * returned. A slice that is never returned is safe: the garbage collector frees its buffer.
 */
export class ReadBuffers {
  readonly scratch: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readonly #free: Buffer[] = [];
  /** By the memory that all slices of a lease share. */
  readonly #leases = new WeakMap<ArrayBufferLike, BufferLease>();

  get freeCount(): number {
    return this.#free.length;
  }

  lease(): BufferLease {
    const lease = new BufferLease(this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES));
    this.#leases.set(lease.memory.buffer, lease);
    return lease;
  }

  /** Where the next read goes. Undefined if there is too little space left. */
  freeSpace(lease: BufferLease): Buffer | undefined {
    if (lease.slices.size === 0) lease.filledBytes = 0;
    if (lease.filledBytes === 0) return lease.memory;
    return BUFFER_BYTES - lease.filledBytes < MIN_READ_BYTES ? undefined : lease.memory.subarray(lease.filledBytes);
  }

  /** A part of what was read into a leased buffer, without a copy. */
  slice(lease: BufferLease, read: Buffer, start: number, end: number): Buffer {
    const slice = read.subarray(start, end);
    lease.slices.add(slice);
    return slice;
  }

  /** The socket does not read into this buffer any more. It is reused once all slices are returned. */
  detach(lease: BufferLease): void {
    lease.isAttached = false;
    this.#reuse(lease);
  }

  /** Returns a slice that nothing reads any more. Other buffers, and slices already returned, are ignored. */
  release(slice: Buffer): void {
    const lease = this.#leases.get(slice.buffer);
    if (lease?.slices.delete(slice) === true) this.#reuse(lease);
  }

  #reuse(lease: BufferLease): void {
    if (lease.isAttached || lease.slices.size > 0) return;
    this.#leases.delete(lease.memory.buffer);
    if (this.#free.length < MAX_FREE_BUFFERS) this.#free.push(lease.memory);
  }
}

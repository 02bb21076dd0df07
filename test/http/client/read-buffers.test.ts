import { describe, expect, it } from 'vitest';
import { ReadBuffers } from '../../../src/http/client/read-buffers.ts';

const KIB = 1024;

describe('a leased buffer', () => {
  it('is free again once it is detached and all slices are returned', () => {
    const buffers = new ReadBuffers();
    const lease = buffers.lease();
    const [one, two] = [buffers.slice(lease, lease.memory, 0, 10), buffers.slice(lease, lease.memory, 10, 20)];
    buffers.release(one);
    buffers.detach(lease);
    expect(buffers.freeCount).toBe(0);
    buffers.release(two);
    expect(buffers.freeCount).toBe(1);
    expect(buffers.lease().memory).toBe(lease.memory);
  });

  it('is not free while a socket may read into it', () => {
    const buffers = new ReadBuffers();
    const lease = buffers.lease();
    buffers.release(buffers.slice(lease, lease.memory, 0, 10));
    expect(buffers.freeCount).toBe(0);
    buffers.detach(lease);
    expect(buffers.freeCount).toBe(1);
  });

  it('ignores a slice that is returned twice', () => {
    const buffers = new ReadBuffers();
    const lease = buffers.lease();
    const [one, two] = [buffers.slice(lease, lease.memory, 0, 10), buffers.slice(lease, lease.memory, 10, 20)];
    buffers.detach(lease);
    buffers.release(one);
    buffers.release(one);
    expect(buffers.freeCount).toBe(0);
    // Nor does another view of the same bytes count.
    buffers.release(lease.memory.subarray(10, 20));
    expect(buffers.freeCount).toBe(0);
    buffers.release(two);
    buffers.release(two);
    expect(buffers.freeCount).toBe(1);
  });

  it('of an earlier lease is not freed by old slices', () => {
    const buffers = new ReadBuffers();
    const first = buffers.lease();
    const old = buffers.slice(first, first.memory, 0, 10);
    buffers.detach(first);
    buffers.release(old);
    const second = buffers.lease();
    expect(second.memory).toBe(first.memory);
    buffers.slice(second, second.memory, 0, 10);
    buffers.detach(second);
    buffers.release(old);
    expect(buffers.freeCount).toBe(0);
  });

  it('ignores other buffers', () => {
    const buffers = new ReadBuffers();
    buffers.release(Buffer.from('other'));
    buffers.release(buffers.scratch);
    expect(buffers.freeCount).toBe(0);
  });

  it('is filled after its slices, as long as 16 KiB are left', () => {
    const buffers = new ReadBuffers();
    const lease = buffers.lease();
    expect(buffers.freeSpace(lease)).toBe(lease.memory);
    buffers.slice(lease, lease.memory, 0, 16 * KIB);
    lease.filledBytes = 16 * KIB;
    const space = buffers.freeSpace(lease)!;
    expect([space.length, space.byteOffset - lease.memory.byteOffset]).toEqual([48 * KIB, 16 * KIB]);
    lease.filledBytes = 48 * KIB;
    expect(buffers.freeSpace(lease)?.length).toBe(16 * KIB);
    lease.filledBytes = 48 * KIB + 1;
    expect(buffers.freeSpace(lease)).toBeUndefined();
  });

  it('is filled from its start when all slices are returned', () => {
    const buffers = new ReadBuffers();
    const lease = buffers.lease();
    const piece = buffers.slice(lease, lease.memory, 0, 60 * KIB);
    lease.filledBytes = 60 * KIB;
    buffers.release(piece);
    expect(buffers.freeSpace(lease)).toBe(lease.memory);
    expect(lease.filledBytes).toBe(0);
  });
});

it('at most 64 free buffers are kept', () => {
  const buffers = new ReadBuffers();
  const leases = Array.from({ length: 80 }, () => buffers.lease());
  expect(new Set(leases.map(({ memory }) => memory.buffer)).size).toBe(80);
  for (const lease of leases) buffers.detach(lease);
  expect(buffers.freeCount).toBe(64);
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Deadlines } from '../../src/proxy/deadlines.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Names of the owners called so far, in order. */
function recorder(): { told: string[]; owner: (name: string) => { onDeadline(): void } } {
  const told: string[] = [];
  return { told, owner: (name) => ({ onDeadline: () => void told.push(name) }) };
}

describe('Deadlines', () => {
  it('expire in the order in which they were started, each once, none early', () => {
    const deadlines = new Deadlines(1000);
    const { told, owner } = recorder();
    deadlines.start(owner('a'));
    vi.advanceTimersByTime(400);
    deadlines.start(owner('b'));
    vi.advanceTimersByTime(598);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(2);
    expect(told).toEqual(['a']);
    vi.advanceTimersByTime(398);
    expect(told).toEqual(['a']);
    vi.advanceTimersByTime(2);
    expect(told).toEqual(['a', 'b']);
    vi.advanceTimersByTime(10_000);
    expect(told).toEqual(['a', 'b']);
  });

  it('do not expire once cleared, and expire later once restarted', () => {
    const deadlines = new Deadlines(1000);
    const { told, owner } = recorder();
    const cleared = deadlines.start(owner('cleared'));
    const moved = deadlines.start(owner('moved'));
    deadlines.start(owner('kept'));
    cleared.clear();
    vi.advanceTimersByTime(500);
    moved.restart();
    vi.advanceTimersByTime(501);
    expect(told).toEqual(['kept']);
    vi.advanceTimersByTime(500);
    expect(told).toEqual(['kept', 'moved']);
  });

  it('need one timer for many', () => {
    const deadlines = new Deadlines(1000);
    const { told, owner } = recorder();
    for (let i = 0; i < 1000; i++) deadlines.start(owner(String(i)));
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(1001);
    expect(told).toHaveLength(1000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('can be started, restarted and cleared by their owners', () => {
    const deadlines = new Deadlines(1000);
    const { told, owner } = recorder();
    const last = deadlines.start({
      onDeadline() {
        told.push('first');
        doomed.clear();
        deadlines.start(owner('second'));
        last.restart();
      },
    });
    const doomed = deadlines.start(owner('doomed'));
    vi.advanceTimersByTime(1001);
    expect(told).toEqual(['first']);
    vi.advanceTimersByTime(1001);
    expect(told).toEqual(['first', 'second', 'first']);
  });

  it('still expire after the owner of another one threw', () => {
    const deadlines = new Deadlines(1000);
    const { told, owner } = recorder();
    deadlines.start({
      onDeadline() {
        throw new Error('owner failed');
      },
    });
    deadlines.start(owner('after'));
    expect(() => vi.advanceTimersByTime(1001)).toThrow('owner failed');
    vi.advanceTimersByTime(1);
    expect(told).toEqual(['after']);
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MAX_TIMER_MS, systemClock } from '../src/clock.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('the system clock', () => {
  it('counts milliseconds since the Unix epoch', () => {
    expect(systemClock.now()).toBe(Date.UTC(2026, 0, 1));
  });

  it('calls back once, after the delay and not a millisecond before', () => {
    const callback = vi.fn();
    systemClock.after(1000, callback);
    vi.advanceTimersByTime(999);
    expect(callback).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(10_000);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it('does not call back once cancelled', () => {
    const callback = vi.fn();
    systemClock.after(1000, callback)();
    vi.advanceTimersByTime(2000);
    expect(callback).not.toHaveBeenCalled();
  });

  it.each([MAX_TIMER_MS + 1, 366 * 86_400_000, Infinity])('waits as long as a timer can for a delay of %d', (delay) => {
    const callback = vi.fn();
    systemClock.after(delay, callback);
    vi.advanceTimersByTime(MAX_TIMER_MS - 1);
    expect(callback).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it('takes a delay in the past as now', () => {
    const callback = vi.fn();
    systemClock.after(-5, callback);
    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it.each([
    ['does not keep the process alive', undefined, false],
    ['keeps the process alive with `ref`', { ref: true }, true],
  ])('%s', (_, options, hasRef) => {
    vi.useRealTimers();
    const set = vi.spyOn(globalThis, 'setTimeout');
    const cancel = systemClock.after(60_000, () => {}, options);
    expect((set.mock.results[0]?.value as NodeJS.Timeout).hasRef()).toBe(hasRef);
    cancel();
    set.mockRestore();
  });
});

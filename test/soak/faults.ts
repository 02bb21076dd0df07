import { randomOf } from '../support/random.ts';

/** What becomes of a payment at the upstream, and how likely it is. The first eight are no faults. */
const WEIGHTS = {
  fine: 40,
  slow: 4,
  chunked: 5,
  long: 2,
  'early hint': 2,
  'closes, saying so': 4,
  'closes silently': 4,
  'server error': 4,
  /** 401, once: the token is dead. */
  'dead token': 3,
  'reset before the body': 3,
  'reset in the body': 3,
  'reset after the body': 3,
  'reset in the head': 2,
  'reset in a short answer': 2,
  'reset in a stream': 2,
  'stalls before the body': 0.7,
  'stalls after the body': 0.7,
  'stalls in the answer': 0.7,
  'no HTTP': 2,
  /** Refuses the body with a 413 that it does not read to the end. */
  'refuses early': 2,
  /** Answers, and resets the idle connection a moment later. */
  'drops when idle': 4,
  /** Answers, and resets the connection when the next request arrives on it. */
  'drops when asked again': 4,
  /** Answers, and accepts no connection for a moment. */
  'goes down': 0.3,
} as const;

export type Fault = keyof typeof WEIGHTS;

const MILD = ['fine', 'slow', 'chunked', 'long', 'early hint', 'closes, saying so'] as const;

export function isFault(fault: Fault): boolean {
  return !MILD.some((mild) => mild === fault);
}

/** A POST to be made: all about it follows from the seed and its number. */
export interface Payment {
  readonly id: string;
  readonly fault: Fault;
  readonly bodyBytes: number;
  readonly chunked: boolean;
  /** Pause between two pieces of the body, in milliseconds; 0 for none. */
  readonly pauseMs: number;
}

export function paymentOf(seed: number, number: number): Payment {
  const random = randomOf(seed, number);
  const fault = random.weighted(WEIGHTS);
  // Small ones, some near the replay limit of 64 KiB, and some that are streamed.
  const size = random.next();
  const bodyBytes =
    size < 0.7
      ? random.between(100, 2000)
      : size < 0.9
        ? random.between(2000, 65_000)
        : random.between(65_537, 300_000);
  return {
    id: `pay-${seed}-${number}`,
    fault,
    bodyBytes,
    chunked: random.chance(0.3),
    pauseMs: random.chance(0.05) ? random.between(1, 20) : 0,
  };
}

/** The payment that an id belongs to. */
export function paymentWithId(id: string): Payment | undefined {
  const [, seed, number] = /^pay-(\d+)-(\d+)$/.exec(id) ?? [];
  return number === undefined ? undefined : paymentOf(Number(seed), Number(number));
}

export function bodyOf({ id, bodyBytes }: Payment): Buffer {
  const empty = JSON.stringify({ id, pad: '' });
  return Buffer.from(JSON.stringify({ id, pad: 'x'.repeat(Math.max(0, bodyBytes - empty.length)) }));
}

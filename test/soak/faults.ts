import { randomOf } from '../support/random.ts';

/** What the upstream does with a payment, with weights. */
const WEIGHTS = {
  fine: 40,
  slow: 4,
  chunked: 5,
  long: 2,
  'early hint': 2,
  'closes with a header': 4,
  'closes silently': 4,
  'server error': 4,
  /** 401, once: the token is rejected. */
  'dead token': 3,
  'reset before the body': 3,
  'reset in the body': 3,
  'reset after the body': 3,
  'reset in the head': 2,
  'reset in a short response': 2,
  'reset in a stream': 2,
  'stalls before the body': 0.7,
  'stalls after the body': 0.7,
  'stalls in the response': 0.7,
  'no HTTP': 2,
  /** Responds with 413 and does not read the rest of the body. */
  'refuses early': 2,
  /** Responds, and resets the idle connection shortly after. */
  'drops when idle': 4,
  /** Responds, and resets the connection when the next request arrives on it. */
  'drops on the next request': 4,
  /** Responds, and accepts no connections for a moment. */
  'goes down': 0.3,
} as const;

export type Fault = keyof typeof WEIGHTS;

const NO_FAULTS = ['fine', 'slow', 'chunked', 'long', 'early hint', 'closes with a header'] as const;

export function isFault(fault: Fault): boolean {
  return !NO_FAULTS.some((one) => one === fault);
}

/** A POST request. The seed and its number determine everything about it. */
export interface Payment {
  readonly id: string;
  readonly fault: Fault;
  readonly bodyBytes: number;
  readonly chunked: boolean;
  /** Pause between two pieces of the body. 0 for none. */
  readonly pauseMs: number;
}

export function paymentOf(seed: number, number: number): Payment {
  const random = randomOf(seed, number);
  const fault = random.weighted(WEIGHTS);
  // Small bodies, bodies below the replay limit of 64 KiB, and streamed bodies.
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

/** The payment with an id. */
export function paymentWithId(id: string): Payment | undefined {
  const [, seed, number] = /^pay-(\d+)-(\d+)$/.exec(id) ?? [];
  return number === undefined ? undefined : paymentOf(Number(seed), Number(number));
}

export function bodyOf({ id, bodyBytes }: Payment): Buffer {
  const empty = JSON.stringify({ id, pad: '' });
  return Buffer.from(JSON.stringify({ id, pad: 'x'.repeat(Math.max(0, bodyBytes - empty.length)) }));
}

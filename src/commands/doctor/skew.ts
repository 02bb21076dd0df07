import { failed, type Finding, ok, skipped, warning } from './finding.ts';
import { formatSeconds } from './spoken.ts';

/** Above this the two clocks differ more than delay and rounding explain. */
const NOTABLE_MS = 30_000;

/** Above this, tokens and signatures with a time in them are refused. */
const HARMFUL_MS = 5 * 60_000;

/** `skewMs`: how far the token endpoint's clock is ahead of ours; undefined if it did not say. */
export function checkClock(skewMs: number | undefined): Finding {
  if (skewMs === undefined) return skipped("the token endpoint's answer has no `Date`");
  const apart = Math.abs(skewMs);
  const saw = `this machine's clock is ${formatSeconds(apart)} ${skewMs > 0 ? 'behind' : 'ahead of'} the token endpoint's`;
  // The header has whole seconds.
  if (apart <= NOTABLE_MS) return ok(apart < 2000 ? "this machine's clock agrees with the token endpoint's" : saw);
  const remedy = "synchronise this machine's clock with NTP, for example with chrony (`chronyc tracking` shows it)";
  return apart > HARMFUL_MS ? failed('wrong', saw, remedy) : warning(saw, remedy);
}

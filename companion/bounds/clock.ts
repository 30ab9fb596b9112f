/**
 * How much faster or slower than real time it may run to make up for a difference: little enough
 * that no span that is waited for is noticeably off, enough to be right again after days.
 */
const slewMax = 0.01;

/**
 * Milliseconds since the epoch, neither jumping nor going back: the time of day at the start,
 * counted on by the clock that counts time alone, and drawn slowly towards the time of day.
 * Somebody who sets the clock of the machine must not make every proxy look silent, or every
 * destination unused, from one moment to the next.
 */
export function steadyClock(
  wall: () => number = Date.now,
  elapsed: () => number = () => performance.now(),
): () => number {
  let now = wall();
  let at = elapsed();
  return () => {
    const passed = elapsed() - at;
    at += passed;
    const behind = wall() - (now + passed);
    const slew = Math.max(-passed * slewMax, Math.min(passed * slewMax, behind));
    now += passed + slew;
    return Math.round(now);
  };
}

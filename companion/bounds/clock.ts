/**
 * The largest deviation from real time while the clock makes up a difference: small enough that no
 * timeout is noticeably wrong. A difference of one hour takes about four days to make up.
 */
const slewMax = 0.01;

/**
 * Milliseconds since the epoch. The clock starts at the wall clock, advances with the monotonic
 * clock, and is slewed towards the wall clock, so it never jumps or goes back. A step of the
 * machine's wall clock must not make every proxy look silent, or every destination unused, at once.
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

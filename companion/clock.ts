/**
 * Milliseconds since the epoch, by the machine's clock at the start and by elapsed time from then on:
 * when somebody sets the clock, hosts must not grow old at once, nor young again.
 */
export function steadyClock(): () => number {
  const startedAt = Date.now() - performance.now();
  return () => Math.round(startedAt + performance.now());
}

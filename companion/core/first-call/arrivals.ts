/** When Services became reachable, kept for as long as it matters. */
export type Arrivals = {
  /** `service`: `namespace/name`; `now`: milliseconds of one clock. */
  note(service: string, now: number): void;
  /**
   * Milliseconds since the Service became reachable; infinite if that was long ago or is unknown.
   */
  ageMs(service: string, now: number): number;
};

/**
 * For this long after a Service became reachable, an egress gateway may have no route to it: istiod
 * debounces changes for 100 ms, up to 10 s while they continue (PILOT_DEBOUNCE_MAX), and a gateway
 * with the whole mesh takes a second or two for a push.
 */
export const gatewayLagMs = 5_000;

export function createArrivals(): Arrivals {
  // In the order of arrival. Entries older than the lag are dropped when the next one is added.
  const arrivedAt = new Map<string, number>();
  return {
    note(service, now) {
      for (const [known, at] of arrivedAt) {
        if (now - at < gatewayLagMs) break;
        arrivedAt.delete(known);
      }
      arrivedAt.delete(service);
      arrivedAt.set(service, now);
    },
    ageMs(service, now) {
      const age = now - (arrivedAt.get(service) ?? Number.NEGATIVE_INFINITY);
      return age < gatewayLagMs ? age : Number.POSITIVE_INFINITY;
    },
  };
}

/** When Services became reachable, for as long as that matters. */
export type Arrivals = {
  /** `service`: `namespace/name`; `now`: milliseconds of one clock. */
  note(service: string, now: number): void;
  /** Milliseconds since it became reachable; infinite when that was long ago, or is not known. */
  ageMs(service: string, now: number): number;
};

/**
 * For this long after a Service became reachable an egress gateway may have no route to it: istiod
 * gathers changes for 100 ms, up to 10 s while they go on (PILOT_DEBOUNCE_MAX), and a gateway that
 * knows the whole mesh takes a second or two for what is pushed.
 */
export const gatewayLagMs = 5_000;

export function createArrivals(): Arrivals {
  // In the order of arrival; nothing older than the lag stays past the next arrival.
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

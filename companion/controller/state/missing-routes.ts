/**
 * Imported hosts that the proxies of a scope still have no route to: istiod is late, or the scope
 * lacks something that the host needs. Each is kept until it has been reported once.
 */
export type MissingRoutes = {
  note(workload: string, entry: string): void;
  /** The hosts that were noted since, for a workload `namespace/name`. */
  take(workload: string): string[];
  drop(workload: string): void;
};

/** Hosts reported for one workload; a scope that lacks more needs no longer list. */
const toldMax = 100;

export function createMissingRoutes(): MissingRoutes {
  const byWorkload = new Map<string, Map<string, 'noted' | 'told'>>();
  return {
    note(workload, entry) {
      const entries = byWorkload.get(workload) ?? new Map<string, 'noted' | 'told'>();
      if (entries.has(entry) || entries.size >= toldMax) return;
      byWorkload.set(workload, entries.set(entry, 'noted'));
    },
    take(workload) {
      const entries = byWorkload.get(workload);
      const fresh = [...(entries ?? [])].flatMap(([entry, is]) => (is === 'noted' ? entry : []));
      for (const entry of fresh) entries?.set(entry, 'told');
      return fresh;
    },
    drop: (workload) => void byWorkload.delete(workload),
  };
}

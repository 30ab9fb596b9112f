/**
 * Hosts that a scope imports and that its proxies still have no route to: istiod is late, or the
 * scope lacks something that the host needs. Kept until they have been told of, each once.
 */
export type MissingRoutes = {
  note(workload: string, entry: string): void;
  /** Those that were noted since, of a workload `namespace/name`. */
  take(workload: string): string[];
  drop(workload: string): void;
};

/** Told of for one workload; a scope that lacks more says the same of each. */
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

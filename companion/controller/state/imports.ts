import { importedHosts, type SidecarRecord } from '../../core/scope/sidecar.ts';

/** Since when each Sidecar imports each of its hosts; the hold path waits for it. */
export type Imports = {
  note(sidecar: SidecarRecord, now: number): void;
  /** The Sidecar is gone. */
  forget(namespace: string, name: string, now: number): void;
  /** Whether proxies may still have its imports, or have just lost them. */
  wasInForce(namespace: string, sidecar: string, now: number): boolean;
  /** Milliseconds since the epoch; undefined while the entry is not imported. */
  since(namespace: string, sidecar: string, entry: string): number | undefined;
};

/** istiod debounces changes for up to 10 s (PILOT_DEBOUNCE_MAX); the push itself takes a moment. */
const pushedMs = 15_000;

export function createImports(): Imports {
  const bySidecar = new Map<string, Map<string, number>>();
  // In the order of removal. Entries older than one push are dropped when the next one is added.
  const removedAt = new Map<string, number>();
  return {
    note(sidecar, now) {
      const key = `${sidecar.namespace}/${sidecar.name}`;
      const before = bySidecar.get(key);
      removedAt.delete(key);
      bySidecar.set(
        key,
        new Map(importedHosts(sidecar).map((entry) => [entry, before?.get(entry) ?? now])),
      );
    },
    forget(namespace, name, now) {
      const key = `${namespace}/${name}`;
      for (const [known, at] of removedAt) {
        if (now - at < pushedMs) break;
        removedAt.delete(known);
      }
      if (bySidecar.delete(key)) removedAt.set(key, now);
    },
    wasInForce(namespace, sidecar, now) {
      const key = `${namespace}/${sidecar}`;
      const removed = removedAt.get(key) ?? Number.NEGATIVE_INFINITY;
      return bySidecar.has(key) || now - removed < pushedMs;
    },
    since: (namespace, sidecar, entry) => bySidecar.get(`${namespace}/${sidecar}`)?.get(entry),
  };
}

import { entryOf } from '../../core/scope/hosts.ts';
import {
  learnedEdges,
  readWorkloadScope,
  type ScopeRecord,
} from '../../core/scope/workload-scope.ts';
import type { WatchHandler } from '../../kube/object.ts';
import type { State } from '../state/state.ts';
import type { Changed } from './changes.ts';

/** Reads WorkloadScopes: the intent of their users, and the memory of controllers. */
export function scopeHandler(state: State, changed: Changed, leads: () => boolean): WatchHandler {
  const { scopes, edges } = state;
  return {
    upsert(object) {
      const record = readWorkloadScope(object);
      const known = scopes.get(record.namespace, record.name);
      if (isStale(known, record)) return;
      scopes.set(record);
      // The status is the memory of earlier controllers and, for a follower, of the leader. The
      // leader skips this: its own status would bring back hosts that it has just expired.
      if (known?.uid !== record.uid || !leads()) takeOver(state, known, record);
      if (!known || JSON.stringify(known) !== JSON.stringify(record)) {
        changed.workload(record.namespace, record.name);
      }
    },
    remove({ metadata: { namespace = '', name, uid } }) {
      const record = scopes.get(namespace, name);
      if (!record || record.uid !== uid) return;
      scopes.delete(namespace, name);
      // An existing workload keeps its learned data; its scope is created again.
      const owners = new Set(state.workloads(namespace).flatMap((each) => each.owners));
      for (const owner of record.owners) if (!owners.has(owner)) edges.forget({ namespace, owner });
      changed.workload(namespace, name);
    },
  };
}

/**
 * The largest difference between the clocks of two replicas. Uses are recorded to the hour: a use
 * at the turn of the hour may be in the next hour for the follower, and would look new.
 */
const clocksApartMs = 60_000;

/** Brings a follower to the leader's state: learned hosts, and expired hosts. */
function takeOver({ edges }: State, known: ScopeRecord | undefined, record: ScopeRecord): void {
  const told = new Set(record.status?.hosts.map(({ host }) => host));
  for (const [source, learned] of known ? learnedEdges(known) : []) {
    const own = new Map(edges.edgesFrom(source).map((edge) => [entryOf(edge), edge.lastSeen]));
    for (const edge of learned) {
      // Hosts that were used since then are in use, whatever the leader had heard.
      const isOlder = (own.get(entryOf(edge)) ?? 0) <= edge.lastSeen + clocksApartMs;
      if (!told.has(entryOf(edge)) && isOlder) edges.forget(source, edge);
    }
  }
  for (const [source, learned] of learnedEdges(record)) edges.restore(source, learned);
}

/**
 * The leader already stored the object that its write returned; older watch events for it arrive
 * later and must be ignored. Resource versions of one object grow (Kubernetes API concepts,
 * "Resource versions").
 */
export function isStale(
  known: { uid: string; version: number } | undefined,
  told: { uid: string; version: number },
): boolean {
  return known !== undefined && known.uid === told.uid && known.version > told.version;
}

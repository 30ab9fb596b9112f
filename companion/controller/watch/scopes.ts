import { entryOf } from '../../core/scope/hosts.ts';
import {
  learnedEdges,
  readWorkloadScope,
  type ScopeRecord,
} from '../../core/scope/workload-scope.ts';
import type { WatchHandler } from '../../kube/object.ts';
import type { State } from '../state/state.ts';
import type { Changed } from './changes.ts';

/** Takes in WorkloadScopes: the wishes of their users, and the memory of controllers. */
export function scopeHandler(state: State, changed: Changed, leads: () => boolean): WatchHandler {
  const { scopes, edges } = state;
  return {
    upsert(object) {
      const record = readWorkloadScope(object);
      const known = scopes.get(record.namespace, record.name);
      if (isStale(known, record)) return;
      scopes.set(record);
      // The status is the memory of earlier controllers, and of the leader for a follower. The
      // leader itself would learn again from its own words what it has just let expire.
      if (known?.uid !== record.uid || !leads()) takeOver(state, known, record);
      if (!known || JSON.stringify(known) !== JSON.stringify(record)) {
        changed.workload(record.namespace, record.name);
      }
    },
    remove({ metadata: { namespace = '', name, uid } }) {
      const record = scopes.get(namespace, name);
      if (!record || record.uid !== uid) return;
      scopes.delete(namespace, name);
      // A workload that is there keeps what it has learned; its scope is made anew.
      const owners = new Set(state.workloads(namespace).flatMap((each) => each.owners));
      for (const owner of record.owners) if (!owners.has(owner)) edges.forget({ namespace, owner });
      changed.workload(namespace, name);
    },
  };
}

/**
 * By how much clocks of two replicas may differ. Uses are recorded to the hour: one at the turn of
 * it may be in the next hour for the follower, and would seem to be news.
 */
const clocksApartMs = 60_000;

/** Brings a follower to what the leader knows: what it has learned, and what it let expire. */
function takeOver({ edges }: State, known: ScopeRecord | undefined, record: ScopeRecord): void {
  const told = new Set(record.status?.hosts.map(({ host }) => host));
  for (const [source, learned] of known ? learnedEdges(known) : []) {
    const own = new Map(edges.edgesFrom(source).map((edge) => [entryOf(edge), edge.lastSeen]));
    for (const edge of learned) {
      // What was used since then is in use, whatever the leader had heard so far.
      const isOlder = (own.get(entryOf(edge)) ?? 0) <= edge.lastSeen + clocksApartMs;
      if (!told.has(entryOf(edge)) && isOlder) edges.forget(source, edge);
    }
  }
  for (const [source, learned] of learnedEdges(record)) edges.restore(source, learned);
}

/**
 * What the leader wrote is known from the answer; the watch tells of it later, and before that of
 * what it replaced. Resource versions of one object grow (Kubernetes API concepts, "Resource
 * versions").
 */
export function isStale(
  known: { uid: string; version: number } | undefined,
  told: { uid: string; version: number },
): boolean {
  return known !== undefined && known.uid === told.uid && known.version > told.version;
}

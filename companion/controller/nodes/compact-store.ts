import { setImmediate as nextTurn } from 'node:timers/promises';
import { recordsBesideHosts, recordsOfHost, type Source } from '../../core/compact/make.ts';
import { type CompactRecord, keyOf } from '../../core/compact/records.ts';
import type { State } from '../state/state.ts';
import { type AnswerConfig, meshView } from './mesh-view.ts';
import { createShared, type SharedRecords } from './shared-records.ts';
import { type StoredRecord, storedRecord } from './stored-record.ts';

/** A record that came, changed or went. */
export type Change = { key: string; before?: StoredRecord; after?: StoredRecord };

/** The compact records of the mesh, apart from those of callers. */
export type CompactStore = {
  /** The records that not every node gets, or not all of them in the same form. */
  unshared(): Iterable<[string, StoredRecord]>;
  shared: SharedRecords;
  /** Marks hosts by name for a new look. */
  mark(hosts: Iterable<string>): void;
  /** All hosts of a namespace, or those whose servers are found by labels. */
  markIn(namespace: string, which: 'all' | 'selecting'): void;
  /** The rules, the namespaces, the mesh. */
  markRest(): void;
  markAll(): void;
  /**
   * Marks what changes with time: hosts that are new, those of other clusters, and the next few of
   * all hosts, so that each is repaired sooner or later.
   */
  markDue(count: number): void;
  /** Looks at everything that is marked; returns what changed. */
  refresh(): Promise<Change[]>;
};

/** Hosts that are worked out without a pause: some milliseconds. */
const hostsPerTurn = 50;
const restHost = '';

export function createCompactStore(options: {
  state: State;
  config: Omit<AnswerConfig, 'firstCall'>;
  now: () => number;
}): CompactStore {
  const { state, config, now } = options;
  const records = new Map<string, StoredRecord>();
  const unshared = new Map<string, StoredRecord>();
  const { shared, count } = createShared();
  /** The keys of each host; those of everything else are under the empty name. */
  const keysOf = new Map<string, Set<string>>();
  const marked = new Set<string>();
  // A list of thousands of objects marks the same again and again, so this is looked up once.
  const markedIn = new Map<string, 'all' | 'selecting'>();
  let areAllMarked = false;
  /** Hosts with a record that says that they are new. */
  const fresh = new Set<string>();
  let circle: Iterator<string> | undefined;
  let shape = '';

  function sourceNow(): Source {
    const namespaces = [...state.namespaces]
      .filter(([, { label }]) => label !== undefined)
      .map(([name]) => name)
      .sort();
    return { catalog: state.catalog, namespaces, view: meshView(state, config, now()) };
  }

  function markAll(): void {
    areAllMarked = true;
  }

  function expandMarks(): void {
    const { hosts } = state.catalog;
    if (areAllMarked) for (const host of [restHost, ...keysOf.keys()]) marked.add(host);
    if (areAllMarked || markedIn.size > 0) {
      for (const host of hosts.patterns()) {
        const isMarked = hosts.exact(host).some(({ namespace, kind, selector }) => {
          const which = markedIn.get(namespace);
          return which === 'all' || (which && kind === 'entry' && selector);
        });
        if (areAllMarked || isMarked) marked.add(host);
      }
    }
    // Hosts that an object of the namespace no longer has.
    for (const [host, keys] of markedIn.size > 0 ? keysOf : []) {
      if ([...keys].some((key) => markedIn.get(namespaceIn(key)) === 'all')) marked.add(host);
    }
    areAllMarked = false;
    markedIn.clear();
  }

  function put(key: string, before: StoredRecord | undefined, after: StoredRecord | undefined) {
    if (after) records.set(key, after);
    else records.delete(key);
    if (after && !after.isShared) unshared.set(key, after);
    else unshared.delete(key);
    if (before?.isShared) count(key, before, -1);
    if (after?.isShared) count(key, after, 1);
  }

  function replace(name: string, found: readonly CompactRecord[], changes: Change[]): void {
    const keys = new Set<string>();
    if (found.some((record) => record.type === 'host' && record.host.isNew)) fresh.add(name);
    else fresh.delete(name);
    for (const record of found) {
      const key = keyOf(record);
      const before = records.get(key);
      const whole = JSON.stringify(record);
      keys.add(key);
      if (before?.whole === whole) continue;
      const after = storedRecord(key, record, whole);
      put(key, before, after);
      changes.push({ key, after, ...(before && { before }) });
    }
    for (const key of keysOf.get(name) ?? []) {
      const before = records.get(key);
      if (keys.has(key) || !before) continue;
      put(key, before, undefined);
      changes.push({ key, before });
    }
    if (keys.size > 0) keysOf.set(name, keys);
    else keysOf.delete(name);
  }

  return {
    unshared: () => unshared,
    shared,
    mark(hosts) {
      for (const host of hosts) marked.add(host);
    },
    markIn(namespace, which) {
      if (markedIn.get(namespace) !== 'all') markedIn.set(namespace, which);
    },
    markRest: () => void marked.add(restHost),
    markAll,
    markDue(count) {
      for (const host of fresh) marked.add(host);
      for (const { host } of state.catalog.farHosts()) marked.add(host);
      for (let n = 0; n < count; n++) {
        circle ??= keysOf.keys();
        const next = circle.next();
        if (next.done) circle = undefined;
        else marked.add(next.value);
      }
    },
    async refresh() {
      const changes: Change[] = [];
      // Which namespaces there are, and under which revisions, decides about every record.
      let source = sourceNow();
      const { namespaces, catalog } = source;
      const after = JSON.stringify(namespaces.map((name) => [name, catalog.revisionsIn(name)]));
      if (after !== shape) markAll();
      shape = after;
      expandMarks();
      let turn = 0;
      for (const name of marked) {
        marked.delete(name);
        const isRest = name === restHost;
        replace(name, isRest ? recordsBesideHosts(source) : recordsOfHost(source, name), changes);
        turn += 1;
        if (turn % hostsPerTurn !== 0) continue;
        await nextTurn();
        source = sourceNow();
      }
      return changes;
    },
  };
}

/** The namespace in the key of a host, `host KIND NAMESPACE/NAME...`. */
function namespaceIn(key: string): string {
  return key.split(' ')[2]?.split('/')[0] ?? '';
}

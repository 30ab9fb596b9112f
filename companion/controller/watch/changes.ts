import type { State } from '../state/state.ts';

/** What to reconcile after a change. */
export type Changed = {
  workload(namespace: string, name: string): void;
  namespace(name: string): void;
  /** The same at once: a call waits, or proxies lose something that their scope relies on. */
  namespaceNow(name: string): void;
  /** Every workload, soon but not at once. */
  all(): void;
  ports(): void;
};

/**
 * Gathers changes for a moment before they become work: a list of a thousand pods of one namespace
 * is one regrouping, not a thousand. Nothing waits for these; first calls go straight to the pace.
 */
const gatherMs = 50;

export type ChangesOptions = {
  state: State;
  mark(key: string, urgent: boolean): void;
  markPorts(): void;
  /** Followers do not write, and reconcile everything when they are elected. */
  isLeader(): boolean;
};

export function createChanges(options: ChangesOptions): Changed & { stop(): void } {
  const { state, mark, markPorts, isLeader } = options;
  const namespaces = new Set<string>();
  const urgent = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    timer = undefined;
    for (const name of namespaces) {
      for (const each of [...state.workloads(name), ...state.scopes.in(name)])
        mark(`${name}/${each.name}`, urgent.has(name));
    }
    namespaces.clear();
    urgent.clear();
  }

  function gather(names: Iterable<string>): void {
    if (!isLeader()) return;
    for (const name of names) if (isManaged(state, name)) namespaces.add(name);
    if (namespaces.size > 0) timer ??= setTimeout(flush, gatherMs);
  }

  return {
    workload(namespace, name) {
      if (isLeader()) mark(`${namespace}/${name}`, false);
    },
    namespaceNow(name) {
      if (!isLeader()) return;
      urgent.add(name);
      gather([name]);
    },
    namespace: (name) => gather([name]),
    all: () => gather(state.namespaces.keys()),
    ports: markPorts,
    stop: () => clearTimeout(timer),
  };
}

/** Enabled, or once enabled: its scopes may have to be removed. */
function isManaged({ namespaces, scopes }: State, name: string): boolean {
  const [scope] = scopes.in(name);
  return namespaces.get(name)?.label !== undefined || scope !== undefined;
}

import type { Workload } from '../../core/scope/workload.ts';
import type { State } from '../state/state.ts';

/** What to reconcile after a change. */
export type Changed = {
  workload(namespace: string, name: string): void;
  namespace(name: string): void;
  /** Pods of a namespace: workloads with other pods, and scopes that these may have had. */
  pods(namespace: string): void;
  /** The same at once: a call waits, or proxies lose something that their scope relies on. */
  namespaceNow(name: string): void;
  /** Every workload, soon but not at once. */
  all(): void;
  /** Every workload of which it is not known that there is nothing to do. */
  pass(): void;
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
  /** Whether the last evaluation of a workload still holds; undefined: it has no pods. */
  isSettled(namespace: string, name: string, workload: Workload | undefined): boolean;
  /** Followers do not write, and reconcile everything when they are elected. */
  isLeader(): boolean;
};

export function createChanges(options: ChangesOptions): Changed & { stop(): void } {
  const { state, mark, markPorts, isSettled, isLeader } = options;
  const namespaces = new Set<string>();
  const regrouped = new Set<string>();
  const urgent = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    timer = undefined;
    for (const name of namespaces) {
      for (const each of [...state.workloads(name), ...state.scopes.in(name)])
        mark(`${name}/${each.name}`, urgent.has(name));
    }
    for (const name of regrouped) {
      if (namespaces.has(name)) continue;
      markUnsettled(name);
      // The pods may be those of a scope whose own workload is gone.
      for (const each of state.scopes.in(name)) {
        if (!state.workload(name, each.name)) mark(`${name}/${each.name}`, false);
      }
    }
    namespaces.clear();
    regrouped.clear();
    urgent.clear();
  }

  function markUnsettled(namespace: string): void {
    for (const workload of state.workloads(namespace)) {
      const { name } = workload;
      if (!isSettled(namespace, name, workload)) mark(`${namespace}/${name}`, false);
    }
    for (const { name } of state.scopes.in(namespace)) {
      if (state.workload(namespace, name)) continue;
      if (!isSettled(namespace, name, undefined)) mark(`${namespace}/${name}`, false);
    }
  }

  function gather(names: Iterable<string>, into = namespaces): void {
    if (!isLeader()) return;
    for (const name of names) if (isManaged(state, name)) into.add(name);
    if (into.size > 0) timer ??= setTimeout(flush, gatherMs);
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
    pods: (name) => gather([name], regrouped),
    pass() {
      if (!isLeader()) return;
      for (const name of state.namespaces.keys()) if (isManaged(state, name)) markUnsettled(name);
    },
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

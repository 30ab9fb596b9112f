import type { History } from '../../core/history/history.ts';
import type { ScopeRecord } from '../../core/scope/workload-scope.ts';
import type { Explained } from '../explain/known.ts';
import type { NamespacedTable } from '../state/namespaced-table.ts';
import type { NodesKnown } from './nodes-known.ts';
import type { Past } from './past.ts';

/** What the replica knows, of which the page shows what its user may see. */
export type Known = {
  scopes: Pick<NamespacedTable<ScopeRecord>, 'get' | 'values'>;
  history: History;
  now: () => number;
  /** What explains calls; without it none is explained. */
  explained?: Explained;
  /** Without it no node is shown. */
  nodes?: NodesKnown;
  /** Namespaces of which everything is made up, as in the demo; the page marks them. */
  played?: readonly string[] | undefined;
  /** Older times than the history has. */
  past?: Past | undefined;
  /** The address of Kiali, for links; the page itself asks nothing of it. */
  kiali?: string | undefined;
};

/** What every answer has. */
export function timesOf({ history, now, played, past, kiali }: Known) {
  const newestChange = history.changes.newest();
  const beginsAt = history.beginsAt();
  return {
    ...{ now: now(), beginsAt, newestChange },
    /** Before `beginsAt` if a Prometheus has older times. */
    oldestAt: Math.min(beginsAt, past?.oldestAt() ?? beginsAt),
    ...(past && { hasPrometheus: true }),
    ...(played && { played }),
    ...(kiali && { kiali }),
  };
}

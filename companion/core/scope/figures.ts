import type { Condition } from './condition.ts';
import type { ProxyState } from './proxies.ts';
import type { ScopeStatus } from './workload-scope.ts';

export type FiguresInput = {
  states: readonly ProxyState[];
  /**
   * The Sidecar was created in this very turn, so these figures still describe full configuration.
   */
  justScoped: boolean;
  /** The last recorded figures. */
  before: ScopeStatus | undefined;
};

/** Means over the proxies of a workload, in whole clusters and bytes. */
type Figures = { clusters: number | undefined; bytes: number | undefined };

/**
 * Figures that were read sooner after a scope came into force may be older than the scope: istiod
 * debounces changes for 100 ms and then pushes, and both the age of figures and the times of
 * conditions are whole seconds.
 */
const settleMs = 2_000;

/**
 * The size of the proxies with full and with narrow configuration. Each is read while it is in
 * force; otherwise, and in a restarted controller, the recorded value stays. `previous` and
 * `condition`: whether the scope was in force at the last record, and is now.
 */
export function figuresOf(
  { states, justScoped, before }: FiguresInput,
  previous: Condition | undefined,
  condition: Condition,
): { full: Figures | undefined; narrow: Figures | undefined } {
  const recorded = (when: 'before' | 'after'): Figures | undefined => {
    const figures = { clusters: before?.clusters?.[when], bytes: before?.memory?.[`${when}Bytes`] };
    return figures.clusters === undefined ? undefined : figures;
  };
  if (condition.status === 'True' && !justScoped) {
    const narrow = usageOf(states, sinceOf(condition) + settleMs) ?? recorded('after');
    return { full: recorded('before'), narrow };
  }
  // A Sidecar that was made in this very turn has not changed what was read so far.
  const period = justScoped ? previous : condition;
  const fresh = period?.status === 'False' ? usageOf(states, sinceOf(period)) : undefined;
  return { full: fresh ?? recorded('before') ?? usageOf(states, 0), narrow: undefined };
}

function sinceOf({ lastTransitionTime }: Condition): number {
  return Date.parse(lastTransitionTime) || 0;
}

/** Means over the proxies that were measured at that time or later. */
function usageOf(states: readonly ProxyState[], since: number): Figures | undefined {
  const stats = states.flatMap((state) =>
    state.stats && state.measuredAt >= since ? [state.stats] : [],
  );
  if (stats.length === 0) return undefined;
  const mean = (values: number[]) => Math.round(values.reduce((a, b) => a + b, 0) / values.length);
  return {
    clusters: mean(stats.map(({ clusters }) => clusters)),
    bytes: mean(stats.map(({ allocatedBytes }) => allocatedBytes)),
  };
}

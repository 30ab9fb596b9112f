import type { Figure } from '../../core/history/figures.ts';
import { figureLevels } from '../../core/history/series.ts';
import type { ScopeRecord } from '../../core/scope/workload-scope.ts';
import { type Access, maySee } from './access.ts';
import { type Known, timesOf } from './known.ts';
import type { PastFigures } from './past.ts';
import { NoAnswer } from './prometheus.ts';

/** Memory and clusters over time: of one workload, or of all that the user may see. */

export type FiguresQuery = {
  /** Empty: the sum over all namespaces. */
  namespace: string;
  /** Empty: the sum over all workloads of the namespace. */
  name: string;
  days: number;
};

const dayMs = 86_400_000;
/** The history has no more; what is older comes from Prometheus. */
export const historyDays = 14;

/** Undefined for a workload or namespace that the user may not see, or that does not exist. */
export async function figures(known: Known, access: Access, query: FiguresQuery) {
  const { namespace, name, days } = query;
  const isHidden = namespace !== '' && !maySee(access, namespace);
  const record = isHidden ? undefined : known.scopes.get(namespace, name);
  if (isHidden || (name !== '' && !record)) return undefined;
  if (days <= historyDays) {
    const of = { namespace, one: record };
    return { ...timesOf(known), source: 'history', ...inHistory(known, access, days, of) };
  }
  const found = { ...timesOf(known), source: 'prometheus' };
  const nothing = { from: known.now() - days * dayMs, binMs: dayMs, memory: [], full: [] };
  const refused = (why: string) => ({
    ...found,
    ...nothing,
    clusters: [],
    fullClusters: [],
    refused: why,
  });
  if (!known.past) return refused('No Prometheus is configured (LAZYSCOPE_PROMETHEUS_URL).');
  try {
    return {
      ...found,
      ...(await known.past.figures(access, { days, namespace, workload: record })),
    };
  } catch (error) {
    if (error instanceof NoAnswer) return refused(`${error.message}.`);
    throw error;
  }
}

type Of = { namespace: string; one?: ScopeRecord | undefined };

/** Sums of what the history has; a workload alone is shown by its mean sidecar. */
export function inHistory(
  { history, now, scopes }: Pick<Known, 'history' | 'now' | 'scopes'>,
  access: Access,
  days: number,
  of: Of = { namespace: '' },
): PastFigures {
  const { one } = of;
  const level = days <= 1 ? 0 : 1;
  const at = now();
  const range = { from: at - days * dayMs, to: at };
  const [memory, full]: [number[], number[]] = [[], []];
  const [clusters, fullClusters]: [number[], number[]] = [[], []];
  const add = (to: number[], bin: number, value: number) => {
    to[bin] = (to[bin] ?? 0) + value;
  };
  for (const { namespace, name, status } of one ? [one] : scopes.values()) {
    if (!maySee(access, namespace)) continue;
    if (of.namespace !== '' && of.namespace !== namespace) continue;
    const proxies = one ? 1 : (status?.proxies.total ?? 0);
    const series = (figure: Figure) =>
      carried(history.figures.series(`${namespace}/${name}`, figure, level, range));
    const without = { memory: status?.memory?.beforeBytes, clusters: status?.clusters?.before };
    for (const [bin, value] of series('memory').entries()) {
      add(memory, bin, value * proxies);
      add(full, bin, value > 0 ? Math.max(value, without.memory ?? 0) * proxies : 0);
    }
    for (const [bin, value] of series('clusters').entries()) {
      add(clusters, bin, value);
      add(fullClusters, bin, value > 0 ? Math.max(value, without.clusters ?? 0) : 0);
    }
  }
  const binMs = figureLevels[level]?.binMs ?? dayMs;
  return { from: range.from, binMs, memory, full, clusters, fullClusters };
}

/** A sidecar that was not measured in a bin has what it had before. */
function carried(series: readonly number[]): number[] {
  let last = 0;
  return series.map((measured) => {
    last = measured || last;
    return last;
  });
}

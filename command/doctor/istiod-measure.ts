import { byLabel, type Metrics, metricsPort, quantileOf, totalOf } from '../mesh/istiod.ts';
import type { Check, Evidence, Examined, Severity } from './check.ts';

/**
 * What the metrics of istiod show (pilot/pkg/xds/monitoring.go, pilot/pkg/model/push_context.go).
 * Histograms and counters count since istiod started.
 */
export type Measure = {
  id: string;
  severity: Severity;
  title: string;
  /** The metric to look at. */
  metric: string;
  /** The sentence if the condition holds. */
  tell(metrics: Metrics, examined: Examined): string | undefined;
  remedy: string;
};

/** A quantile of a time in seconds that is more than `max`. */
export function slow(metric: string, quantile: number, max: number, what: string) {
  return (metrics: Metrics) => {
    const seconds = quantileOf(metrics, metric, quantile);
    if (seconds === undefined || seconds <= max) return undefined;
    return `${what} ${seconds.toFixed(1)} s at p${quantile * 100} (${metric}); more than ${max} s is slow`;
  };
}

/** A counter or gauge that is 0 where all is well. */
export function nonZero(metric: string, what: string, label = 'type') {
  return (metrics: Metrics) => {
    const total = totalOf(metrics, metric);
    if (total <= 0) return undefined;
    const parts = byLabel(metrics, metric, label).filter(([key, value]) => key && value > 0);
    const shown = parts.slice(0, 5).map(([key, value]) => `${key}: ${value}`);
    return `${total} ${what}${shown.length > 0 ? ` (${shown.join(', ')})` : ''}`;
  };
}

/** The check of a measure, for each istiod that could be asked. */
export function checkOf({ metric, tell, remedy, ...rest }: Measure): Check {
  return {
    ...rest,
    find: (examined) =>
      examined.measured.flatMap(({ namespace, name, metrics }): Evidence[] => {
        const sentence = tell(metrics, examined);
        if (sentence === undefined) return [];
        const evidence = metricShown(namespace, name, metric);
        return [{ subject: `Pod ${namespace}/${name}`, sentence, evidence, remedy }];
      }),
  };
}

/** The command that shows a metric. */
export function metricShown(namespace: string, name: string, metric: string): string {
  const path = `/api/v1/namespaces/${namespace}/pods/${name}:${metricsPort}/proxy/metrics`;
  return `kubectl get --raw ${path} | grep ${metric}`;
}

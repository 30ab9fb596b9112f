import { counted } from '../../companion/core/mesh/counted.ts';
import { byLabel, metricsPort, quantileOf, totalOf } from '../mesh/istiod.ts';
import { type IstiodReading, reachOf } from '../mesh/istiod-reading.ts';
import type { Check, Evidence, Examined, Severity } from './check.ts';

/**
 * What the metrics of istiod show (pilot/pkg/xds/monitoring.go, pilot/pkg/model/push_context.go).
 * Histograms and counters count since istiod started, or in a window.
 */
export type Measure = {
  id: string;
  severity: Severity;
  title: string;
  /** The metric to look at. */
  metric: string;
  /** The sentence if the condition holds. */
  tell(reading: IstiodReading, examined: Examined): string | undefined;
  remedy: string;
};

/** A quantile of a time in seconds that is more than `max`. */
export function slow(metric: string, quantile: number, max: number, what: string) {
  return ({ metrics, isStart }: IstiodReading) => {
    if (isStart) return undefined;
    const seconds = quantileOf(metrics, metric, quantile);
    if (seconds === undefined || seconds <= max) return undefined;
    return `${what} ${seconds.toFixed(1)} s at p${quantile * 100} (${metric}); more than ${max} s is slow`;
  };
}

/** A change that takes more than `max` seconds to its proxies. */
export function lateBy(max: number, what: string) {
  return (reading: IstiodReading) => {
    const reach = reachOf(reading);
    if (reach === undefined || reach.seconds <= max) return undefined;
    const [waited, pushed] = [reach.waited.toFixed(1), reach.pushed.toFixed(1)];
    return `${what} ${reach.seconds.toFixed(1)} s at p99 (${waited} s of pilot_debounce_time, ${pushed} s of pilot_proxy_convergence_time); more than ${max} s is slow`;
  };
}

/** A counter or gauge that is 0 where all is well; `rest` follows the noun. */
export function nonZero(metric: string, noun: string, rest: string, label = 'type') {
  return ({ metrics }: IstiodReading) => {
    const total = totalOf(metrics, metric);
    if (total <= 0) return undefined;
    const parts = byLabel(metrics, metric, label).filter(([key, value]) => key && value > 0);
    const shown = parts.slice(0, 5).map(([key, value]) => `${key}: ${value}`);
    return `${counted(total, noun)} ${rest}${shown.length > 0 ? ` (${shown.join(', ')})` : ''}`;
  };
}

/** The check of a measure, for each istiod that could be asked. */
export function checkOf({ metric, tell, remedy, ...rest }: Measure): Check {
  return {
    ...rest,
    find: (examined) =>
      examined.measured.flatMap((measured): Evidence[] => {
        const { namespace, name } = measured;
        const sentence = tell(measured, examined);
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

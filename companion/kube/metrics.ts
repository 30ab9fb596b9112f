import type { Registry } from 'prom-client';
import { describeMetrics } from '../frame/metrics.ts';

/** Metrics of the connection to the API server, for every role. */
export function createKubeMetrics(registry: Registry) {
  const { counter, gauge } = describeMetrics(registry);
  return {
    watchesBroken: counter(
      'watches_broken_total',
      'Watches of the API server that failed and were restarted, by resource.',
      ['resource'],
    ),
    requestsFailed: counter(
      'kube_requests_failed_total',
      'Failed requests to the API server, by method and status (0: no answer).',
      ['method', 'status'],
    ),
    lastSuccess: gauge(
      'kube_last_success_timestamp_seconds',
      'Unix time of the last successful request to the API server.',
    ),
  };
}

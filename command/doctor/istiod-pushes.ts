import { counted } from '../../companion/core/mesh/counted.ts';
import { byLabel, countAbove, type Metrics, totalOf } from '../mesh/istiod.ts';
import type { Check } from './check.ts';
import { checkOf, lateBy, type Measure, metricShown, nonZero, slow } from './istiod-measure.ts';

/** How fast, how much and to how many istiod sends. */

const measures: readonly Measure[] = [
  {
    ...{ id: 'istiod-debounce-time', severity: 'warning', metric: 'pilot_debounce_time' },
    title: 'changes wait long because further changes keep coming',
    tell: (reading) => {
      const told = slow('pilot_debounce_time', 0.99, 3, 'changes wait')(reading);
      const { metrics } = reading;
      const [[trigger, count] = ['', 0]] = byLabel(metrics, 'pilot_push_triggers', 'type');
      return told && count > 0 ? `${told}; most pushes are for ${trigger}` : told;
    },
    remedy: 'find the controller that writes all the time: kubectl get events -A --watch',
  },
  {
    ...{ id: 'istiod-busy-kind', severity: 'warning', metric: 'pilot_k8s_cfg_events' },
    title: 'objects of one kind change all the time',
    tell({ metrics, seconds, isStart }) {
      if (isStart) return undefined;
      const samples = metrics.get('pilot_k8s_cfg_events') ?? [];
      const updates = samples.filter(({ labels }) => labels.event === 'update');
      const all = updates.reduce((sum, { value }) => sum + value, 0);
      const most = updates.reduce((a, b) => (b.value > a.value ? b : a), { labels: {}, value: 0 });
      if (most.value <= seconds || most.value <= all * 0.9) return undefined;
      const { type = 'unknown' }: { type?: string } = most.labels;
      return `${(most.value / seconds).toFixed(1)} updates a second of ${type}, of ${(all / seconds).toFixed(1)} in all: perhaps two controllers undo each other's writes`;
    },
    remedy: 'kubectl get KIND -A --watch --output-watch-events --show-managed-fields -o yaml',
  },
  {
    ...{ id: 'istiod-queue-time', severity: 'warning', metric: 'pilot_proxy_queue_time' },
    title: 'proxies wait long for a place among the pushes',
    tell: slow('pilot_proxy_queue_time', 0.99, 1, 'proxies wait for their push'),
    remedy:
      'give istiod more CPU, whose number also sets the pushes at a time: kubectl set resources -n istio-system deployment/istiod --requests=cpu=4',
  },
  {
    ...{ id: 'istiod-push-context', severity: 'warning' },
    metric: 'pilot_pushcontext_init_seconds',
    title: 'istiod takes long to compute what all pushes share',
    tell: slow('pilot_pushcontext_init_seconds', 0.9, 0.5, 'a push context takes'),
    remedy: 'let istiod see less: discoverySelectors in the mesh configuration, and exportTo',
  },
  {
    ...{ id: 'istiod-convergence', severity: 'critical', metric: 'pilot_proxy_convergence_time' },
    title: 'a change reaches proxies after more than ten seconds',
    tell: lateBy(10, 'a change reaches the proxies after'),
    remedy: 'lazyscope doctor --only istiod-debounce-time,istiod-queue-time,istiod-push-context',
  },
  {
    ...{ id: 'istiod-hold-late', severity: 'warning', metric: 'pilot_proxy_convergence_time' },
    title: 'scopes become live later than requests are held',
    tell: (reading, { mesh: { state, config } }) => {
      const namespaces = [...state.namespaces].filter(
        ([, { label, firstCall }]) =>
          label && ['hold', 'auto'].includes(firstCall ?? config.firstCall),
      );
      if (namespaces.length === 0) return undefined;
      const told = lateBy(2, 'a scope is live after')(reading);
      return told && `${told}; requests are held for 2 s in ${namespaces[0]?.[0]}`;
    },
    remedy: 'kubectl annotate namespace NAMESPACE lazyscope.io/first-call=gateway --overwrite',
  },
  {
    ...{ id: 'istiod-config-size', severity: 'warning', metric: 'pilot_xds_config_size_bytes' },
    title: 'a configuration of more than 4 MB is sent to a proxy',
    tell: ({ metrics }) => sizeAbove(metrics, 4e6, 1e7),
    remedy: 'lazyscope status -A shows which workloads are not narrowed',
  },
  {
    ...{ id: 'istiod-config-huge', severity: 'critical', metric: 'pilot_xds_config_size_bytes' },
    title: 'a configuration of more than 10 MB is sent to a proxy',
    tell: ({ metrics }) => sizeAbove(metrics, 1e7, Number.POSITIVE_INFINITY),
    remedy: 'lazyscope status -A shows which workloads are not narrowed',
  },
  {
    ...{ id: 'istiod-rejects', severity: 'warning', metric: 'pilot_total_xds_rejects' },
    title: 'proxies rejected configuration',
    tell: nonZero('pilot_total_xds_rejects', 'configuration', 'rejected by proxies'),
    remedy: 'kubectl logs -n istio-system deployment/istiod | grep "ACK ERROR"',
  },
  {
    ...{ id: 'istiod-write-timeout', severity: 'warning', metric: 'pilot_xds_write_timeout' },
    title: 'istiod could not send in time',
    tell: nonZero('pilot_xds_write_timeout', 'answer', 'not written in time'),
    remedy: 'kubectl logs -n istio-system deployment/istiod | grep -i error',
  },
  {
    ...{ id: 'istiod-send-errors', severity: 'warning', metric: 'pilot_xds_pushes' },
    title: 'pushes failed while they were sent',
    tell: ({ metrics }) => {
      const pushes = byLabel(metrics, 'pilot_xds_pushes', 'type');
      const failed = pushes.filter(([type, count]) => type.endsWith('_senderr') && count > 0);
      if (failed.length === 0) return undefined;
      return `pushes could not be sent: ${failed.map(([type, count]) => `${type}: ${count}`).join(', ')}`;
    },
    remedy: 'kubectl logs -n istio-system deployment/istiod | grep -i error',
  },
  {
    ...{ id: 'istiod-large-request', severity: 'warning', metric: 'pilot_xds_recv_max' },
    title: 'requests of proxies come near to the limit of 4 MiB',
    tell: ({ metrics }) => {
      const bytes = totalOf(metrics, 'pilot_xds_recv_max');
      if (bytes <= 3 * 2 ** 20) return undefined;
      return `the largest request of a proxy had ${(bytes / 2 ** 20).toFixed(1)} MiB; istiod refuses more than ISTIO_GPRC_MAXRECVMSGSIZE (4 MiB)`;
    },
    remedy: 'kubectl set env -n istio-system deployment/istiod ISTIO_GPRC_MAXRECVMSGSIZE=8388608',
  },
  {
    ...{ id: 'istiod-proxies', severity: 'warning', metric: 'pilot_xds' },
    title: 'one istiod serves more than 2,000 proxies',
    tell: ({ metrics }) => {
      const proxies = totalOf(metrics, 'pilot_xds');
      if (proxies <= 2_000) return undefined;
      return `it serves ${counted(proxies, 'proxy')}; Istio has measured one istiod with 2,000`;
    },
    remedy:
      'kubectl scale -n istio-system deployment/istiod --replicas=N, or an HPA with minReplicas',
  },
];

/** Observations above `min` and not above `max`; both are bounds of the histogram. */
function sizeAbove(metrics: Metrics, min: number, max: number): string | undefined {
  const metric = 'pilot_xds_config_size_bytes';
  const higher = new Map(Number.isFinite(max) ? countAbove(metrics, metric, max, 'type') : []);
  const found = countAbove(metrics, metric, min, 'type').flatMap(([type, count]) => {
    const own = count - (higher.get(type) ?? 0);
    return own > 0 ? [`${type.split('.').at(-1)}: ${own}`] : [];
  });
  if (found.length === 0) return undefined;
  return `configurations of more than ${min / 1e6} MB were sent (${found.join(', ')})`;
}

const uneven: Check = {
  ...{ id: 'istiod-uneven', severity: 'warning' },
  title: 'one istiod serves twice as many proxies as another',
  find({ measured }) {
    const counts = measured.map((each) => ({
      ...each,
      proxies: totalOf(each.metrics, 'pilot_xds'),
    }));
    counts.sort((a, b) => b.proxies - a.proxies);
    const [most, least] = [counts[0], counts.at(-1)];
    // Of a few proxies, chance alone makes such a share.
    if (!most || !least || most.proxies < 100 || most.proxies < 2 * least.proxies) return [];
    return [
      {
        subject: `Pod ${most.namespace}/${most.name}`,
        sentence: `it serves ${counted(most.proxies, 'proxy')}, and ${least.name} serves ${least.proxies}`,
        evidence: metricShown(most.namespace, most.name, 'pilot_xds'),
        remedy: `kubectl delete pod -n ${most.namespace} ${most.name} lets its proxies connect again; connections live for 30 minutes`,
      },
    ];
  },
};

export const istiodPushes: readonly Check[] = [...measures.map(checkOf), uneven];

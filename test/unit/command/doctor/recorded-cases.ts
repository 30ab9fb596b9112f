import { changed, firstCounted, later, recorded } from '../../../recorded/istiod-metrics.ts';
import { heldNamespace, secondIstiod } from './istiod-cases.ts';
import type { Situation } from './situation.ts';

/** Checks of metrics, each with the recording of a real istiod in which its condition is true. */
export type RecordedCase = Situation & { words: string };

const of = (text: string, words: string, more: Situation = {}): RecordedCase => ({
  ...more,
  ...{ istiodText: later(text), words },
});

const [slow, wrong, sizes] = [recorded('slow'), recorded('wrong'), recorded('sizes')];
const [healthy, crowded] = [recorded('healthy'), recorded('crowded')];

/** The healthy istiod, with a counter that it exports only from its first count on. */
const first = (id: string, name: string, labels: string, words: string) => [
  [id, of(firstCounted(healthy, name, labels, 2), words)] as const,
];

export const recordedCases: ReadonlyMap<string, RecordedCase> = new Map<string, RecordedCase>([
  ['istiod-debounce-time', of(slow, 'changes wait ')],
  ['istiod-queue-time', of(slow, 'proxies wait for their push ')],
  ['istiod-push-context', of(slow, 'a push context takes ')],
  ['istiod-convergence', of(slow, 'a change reaches the proxies after ')],
  ['istiod-hold-late', of(slow, 'a scope is live after ', { objects: [heldNamespace] })],
  ['istiod-config-size', of(sizes, 'more than 4 MB were sent (RouteConfiguration: ')],
  ['istiod-config-huge', of(sizes, 'more than 10 MB were sent (RouteConfiguration: ')],
  ['istiod-rejects', of(wrong, 'rejected by proxies (')],
  ['istiod-unknown-provider', of(wrong, 'of a provider failed (envoyHTTPAls: ')],
  ['istiod-remote-cluster', of(wrong, '1 remote cluster not read in time')],
  ['istiod-tcp-conflict', of(wrong, 'lost to another TCP listener')],
  // istiod chooses one Service of each host before it makes clusters, so no objects were found that
  // make one twice.
  [
    'istiod-duplicate-clusters',
    of(changed(healthy, 'pilot_duplicate_envoy_clusters', 1), '1 cluster made twice and left out'),
  ],
  ['istiod-empty-dns-cluster', of(wrong, 'for want of an endpoint')],
  ['istiod-jwks', of(wrong, 'of keys failed')],
  ['istiod-root-certificate', of(recorded('expiring'), 'the root certificate expires on ')],
  ['istiod-proxies', of(crowded, 'it serves 2001 proxies')],
  // The second istiod has the 20 proxies of the healthy one.
  [
    'istiod-uneven',
    of(crowded, 'it serves 2001 proxies, and istiod-1 serves 20', { objects: [secondIstiod] }),
  ],
  // Two controllers that undo each other's writes for an hour.
  [
    'istiod-busy-kind',
    of(
      changed(healthy, 'pilot_k8s_cfg_events{event="update",type="ServiceEntry"}', 7_200),
      '2.0 updates a second of ServiceEntry',
    ),
  ],
  [
    'istiod-large-request',
    of(changed(healthy, 'pilot_xds_recv_max', 3_800_000), 'had 3.6 MiB; istiod refuses more'),
  ],
  ...first('istiod-write-timeout', 'pilot_xds_write_timeout', '', '2 answers not written in time'),
  ...first(
    'istiod-send-errors',
    'pilot_xds_pushes',
    'type="cds_senderr"',
    'pushes could not be sent: cds_senderr: 2',
  ),
  ...first(
    'istiod-internal-errors',
    'pilot_total_xds_internal_errors',
    '',
    '2 internal errors of xDS',
  ),
  ...first(
    'istiod-injection-failures',
    'sidecar_injection_failure_total',
    '',
    '2 injections failed',
  ),
  // Only a request with the identity of a workload comes as far as to be signed.
  ...first(
    'istiod-certificate-errors',
    'citadel_server_csr_sign_err_count',
    'error="CSR_ERROR"',
    '2 certificates not signed (CSR_ERROR: 2)',
  ),
]);

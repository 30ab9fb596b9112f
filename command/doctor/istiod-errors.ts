import type { Metrics } from '../mesh/istiod.ts';
import type { Check } from './check.ts';
import { checkOf, type Measure, nonZero } from './istiod-measure.ts';

/** What istiod could not do, by its own counters. */

const measures: readonly Measure[] = [
  {
    ...{ id: 'istiod-internal-errors', severity: 'warning' },
    metric: 'pilot_total_xds_internal_errors',
    title: 'istiod failed to make configuration',
    tell: nonZero('pilot_total_xds_internal_errors', 'internal error', 'of xDS'),
    remedy: 'kubectl logs -n istio-system deployment/istiod | grep -i error',
  },
  {
    ...{ id: 'istiod-unknown-provider', severity: 'warning' },
    metric: 'provider_lookup_cluster_failures',
    title: 'an extension provider names a service that istiod does not know',
    tell: nonZero('provider_lookup_cluster_failures', 'look-up', 'of a provider failed'),
    remedy: 'kubectl get configmap -n istio-system istio -o yaml, and correct extensionProviders',
  },
  {
    ...{ id: 'istiod-injection-failures', severity: 'warning' },
    metric: 'sidecar_injection_failure_total',
    title: 'pods could not get a sidecar',
    tell: nonZero('sidecar_injection_failure_total', 'injection', 'failed'),
    remedy: 'kubectl logs -n istio-system deployment/istiod | grep -i "injection failed"',
  },
  {
    ...{ id: 'istiod-remote-cluster', severity: 'warning' },
    metric: 'remote_cluster_sync_timeouts_total',
    title: 'a remote cluster was left out because it answered late',
    tell: nonZero('remote_cluster_sync_timeouts_total', 'remote cluster', 'not read in time', ''),
    remedy: 'istioctl remote-clusters',
  },
  {
    ...{ id: 'istiod-tcp-conflict', severity: 'warning' },
    metric: 'pilot_conflict_outbound_listener_tcp_over_current_tcp',
    title: 'TCP Services without addresses of their own share a port',
    tell: nonZero(
      'pilot_conflict_outbound_listener_tcp_over_current_tcp',
      'listener',
      'lost to another TCP listener on the same port',
      '',
    ),
    remedy: 'give one of the ServiceEntries an address or another port: istioctl analyze -A',
  },
  {
    ...{ id: 'istiod-duplicate-clusters', severity: 'warning' },
    metric: 'pilot_duplicate_envoy_clusters',
    title: 'ServiceEntries of one host make the same cluster twice',
    tell: nonZero('pilot_duplicate_envoy_clusters', 'cluster', 'made twice and left out', ''),
    remedy: 'kubectl get serviceentries -A: keep one for each host and port',
  },
  {
    ...{ id: 'istiod-empty-dns-cluster', severity: 'info' },
    metric: 'pilot_dns_cluster_without_endpoints',
    title: 'a host with resolution DNS has no endpoint',
    tell: nonZero(
      'pilot_dns_cluster_without_endpoints',
      'DNS cluster',
      'left out of proxies for want of an endpoint: every call to it fails',
      '',
    ),
    remedy: 'kubectl get serviceentries,destinationrules -A: look for subsets that select nothing',
  },
  {
    ...{ id: 'istiod-certificate-errors', severity: 'critical' },
    metric: 'citadel_server_csr_sign_err_count',
    title: 'istiod could not sign certificates of workloads',
    tell: nonZero('citadel_server_csr_sign_err_count', 'certificate', 'not signed', 'error'),
    remedy: 'kubectl logs -n istio-system deployment/istiod | grep -i error',
  },
  {
    ...{ id: 'istiod-root-certificate', severity: 'critical' },
    metric: 'citadel_server_root_cert_expiry_timestamp',
    title: 'the root certificate of the mesh expires within 30 days',
    tell: ({ metrics }, { now }) =>
      expiring(metrics, 'citadel_server_root_cert_expiry_timestamp', now),
    remedy: 'kubectl create secret generic cacerts -n istio-system --from-file=... with a new root',
  },
  {
    ...{ id: 'istiod-jwks', severity: 'warning' },
    metric: 'pilot_jwks_resolver_network_fetch_fail_total',
    title: 'istiod cannot fetch keys of JSON web tokens',
    tell: nonZero('pilot_jwks_resolver_network_fetch_fail_total', 'fetch', 'of keys failed', ''),
    remedy: 'kubectl get requestauthentications -A -o yaml | grep jwksUri, and reach each of them',
  },
];

const dayMs = 86_400_000;

function expiring(metrics: Metrics, metric: string, now: number): string | undefined {
  const seconds = metrics.get(metric)?.[0]?.value ?? 0;
  const days = Math.floor((seconds * 1_000 - now) / dayMs);
  // -1 stands for a certificate that could not be read.
  if (seconds <= 0 || days >= 30) return undefined;
  const when = new Date(seconds * 1_000).toISOString().slice(0, 10);
  return `the root certificate ${days < 0 ? 'expired' : 'expires'} on ${when}`;
}

export const istiodErrors: readonly Check[] = measures.map(checkOf);

import { rangeText } from '../../core/mesh/address-index.ts';
import { counted } from '../../core/mesh/counted.ts';
import type { Refusal } from '../../core/scope/barrier.ts';
import { plainBeyondScope } from '../../core/scope/blind.ts';
import type { Workload } from '../../core/scope/workload.ts';
import type { State } from '../state/state.ts';

/** As many as fit into one line of `kubectl get`. */
const namedMax = 5;

/**
 * Why unknown calls of a workload would not be served: the filter, or what the source access-log
 * has instead, is missing or does not fit the mesh.
 */
export function refusalOfUnknownCalls(
  state: State,
  { namespace, pods }: Workload,
  rootNamespace: string,
): Refusal | undefined {
  const missing = state.installedFilter.missing(namespace, pods);
  if (missing.length > 0) return filterMissing(state, namespace, pods, missing);
  const blind = state.installedFilter.blindCalls(namespace);
  if (!blind) return undefined;
  if (blind.serviceCidrs.length === 0) {
    const message =
      `EnvoyFilter lazyscope-access-log in ${namespace} does not say which addresses are Services. ` +
      'Apply manifests/namespace-access-log with kustomize, with serviceCidr in its settings.env.';
    return { reason: 'FilterMissing', message };
  }
  const wrong = blind.serviceCidrs.find((each) => rangeText(each) !== each);
  if (wrong !== undefined) return rangeWrong(namespace, wrong);
  const labels = pods.map((pod) => pod.labels);
  // Apps do not call Lazyscope's own Services, and proxies call them by clusters of their own.
  const found = plainBeyondScope(state.catalog, { namespace, rootNamespace, labels, blind }).filter(
    ({ host }) => !host.includes(`.${state.systemNamespace}.svc.`),
  );
  if (found.length === 0) return undefined;
  const some = found.slice(0, namedMax).map(({ address, host }) => `${address} (${host})`);
  const more = found.length > namedMax ? ` and ${found.length - namedMax} more` : '';
  const message =
    `${counted(found.length, 'ClusterIP')} of Services that ${namespace} does not see would get mutual TLS, which their servers do not take: ` +
    `${some.join(', ')}${more}. Add them to plainAddresses (manifests/namespace-access-log/settings.env), or export the Services to ${namespace}.`;
  return { reason: 'PlainBeyondScope', message };
}

/** Envoy compares a network as text, so a range in another form would hold no address. */
function rangeWrong(namespace: string, range: string): Refusal {
  const text = rangeText(range);
  const remedy = text ? `Write ${text}` : 'Write a range such as 10.96.0.0/16';
  const message =
    `EnvoyFilter lazyscope-access-log in ${namespace} has ${range}, which Envoy cannot compare with the address of a call. ` +
    `${remedy} in manifests/namespace-access-log/settings.env.`;
  return { reason: 'FilterMissing', message };
}

function filterMissing(
  state: State,
  namespace: string,
  pods: Workload['pods'],
  missing: readonly string[],
): Refusal {
  const [first, ...others] = state.installedFilter.leftOut(namespace, pods);
  if (first) {
    const more = others.length > 0 ? ` and ${others.length} more` : '';
    const message = `${missing.join(', ')} does not apply to pod ${first.name}${more} (selector or revision). Add the labels to the pod templates, or wait for their rollout.`;
    return { reason: 'FilterMissing', message };
  }
  const source = state.namespaces.get(namespace)?.source;
  const manifests =
    source === 'access-log' ? 'manifests/namespace-access-log' : 'manifests/namespace';
  const message = `Not installed for these pods in ${namespace}: ${missing.join(', ')}. Apply ${manifests}.`;
  return { reason: 'FilterMissing', message };
}

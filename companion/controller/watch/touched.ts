import { isWildcard } from '../../core/mesh/host-pattern.ts';
import { readPod } from '../../core/mesh/pod-record.ts';
import { readDestinationRule } from '../../core/mesh/rules.ts';
import type { Kube, KubeObject } from '../../kube/object.ts';
import type { Feed } from '../nodes/feed.ts';
import type { State } from '../state/state.ts';

/** Shows every object of every watch to `onObject`, after its handler has taken it in. */
export function observed(
  kube: Pick<Kube, 'watch'>,
  onObject: (object: KubeObject) => void,
): Pick<Kube, 'watch'> {
  return {
    watch: (resource, handler) =>
      kube.watch(resource, {
        ...handler,
        upsert(object) {
          handler.upsert(object);
          onObject(object);
        },
        remove(object) {
          handler.remove(object);
          onObject(object);
        },
      }),
  };
}

type Places = { clusterDomain: string; rootNamespace: string; gatewayHost: string };

/**
 * Marks the compact records that an object may have changed. Marking too many costs time; what is
 * not marked is repaired by the tick, as changes are that come with time.
 */
export function markTouched(
  { mark }: Pick<Feed, 'mark'>,
  { catalog }: Pick<State, 'catalog'>,
  { clusterDomain, rootNamespace, gatewayHost }: Places,
): (object: KubeObject) => void {
  /** The host of each DestinationRule, for changes of the host itself. */
  const ruled = new Map<string, string>();
  const hostOf = (name: string, namespace: string) => `${name}.${namespace}.svc.${clusterDomain}`;

  function markHosts(hosts: readonly string[]): void {
    // What the gateway carries depends on its own pods.
    if (hosts.includes(gatewayHost)) mark.markAll();
    else mark.mark(hosts);
  }

  function markRuled(object: KubeObject): void {
    const { host, namespace, name } = readDestinationRule(object, clusterDomain);
    const key = `${namespace}/${name}`;
    const hosts = new Set([host, ruled.get(key) ?? host]);
    ruled.set(key, host);
    for (const each of hosts) {
      const under = isWildcard(each) ? [...catalog.hosts.under(each)].map(([found]) => found) : [];
      markHosts([each, ...under]);
    }
  }

  function markNamespace(namespace: string): void {
    if (namespace === rootNamespace) mark.markAll();
    else mark.markIn(namespace, 'all');
  }

  function markPod(object: KubeObject): void {
    const { ips, namespace } = readPod(object);
    markHosts(ips.flatMap((ip) => catalog.servicesOfEndpoint(ip).map(({ host }) => host)));
    mark.markIn(namespace, 'selecting');
    mark.callers(namespace);
  }

  return (object) => {
    const { namespace = '', name, labels } = object.metadata;
    const everywhere = namespace === rootNamespace ? undefined : namespace;
    switch (object.kind) {
      case 'Service':
        mark.callers(namespace);
        if (catalog.isTarget({ kind: 'service', namespace, name })) mark.markRest();
        return markHosts([hostOf(name, namespace)]);
      case 'EndpointSlice':
        return markHosts([hostOf(labels?.['kubernetes.io/service-name'] ?? '', namespace)]);
      case 'ServiceEntry':
        mark.mark((object.spec?.hosts ?? []).map((host: string) => host.toLowerCase()));
        mark.markRest();
        return markNamespace(namespace);
      case 'WorkloadEntry':
      case 'PeerAuthentication':
        return markNamespace(namespace);
      case 'Pod':
        return markPod(object);
      case 'VirtualService':
      case 'HTTPRoute':
      case 'GRPCRoute':
      case 'TLSRoute':
      case 'TCPRoute':
        return mark.markRest();
      case 'DestinationRule':
        return markRuled(object);
      case 'BackendTLSPolicy':
        return mark.markAll();
      case 'ConfigMap':
      case 'Namespace':
        mark.markAll();
        return mark.settings(undefined);
      case 'Sidecar':
      case 'WorkloadScope':
        return mark.settings(everywhere);
    }
  };
}

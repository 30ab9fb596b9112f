import type { KubeObject } from '../../kube/object.ts';
import type { HostRecord } from './records.ts';
import { clusterSetDomain } from './service-import.ts';

/**
 * A host that istiod gave to a proxy and no object of this cluster explains: of a Service in
 * another cluster, of a ServiceImport, or of another source of configuration. In the form of an
 * object, so that it is kept as all others are.
 */
export function farHostObject(host: string, ports: Iterable<number>, namespaces: Iterable<string>) {
  return {
    apiVersion: '',
    kind: 'FarHost',
    metadata: { name: host },
    spec: { ports: [...ports], namespaces: [...namespaces] },
  };
}

/**
 * Visible only to the namespaces whose proxies reported it: a report of one proxy must not decide
 * where the proxies of other namespaces send their calls.
 */
export function readFarHost(
  { metadata, spec = {} }: KubeObject,
  clusterDomain: string,
): HostRecord {
  const host = metadata.name;
  const service = serviceNamespace(host, clusterDomain);
  return {
    // A host that is not a Service is reached as its cluster says; a first call can only wait for
    // that.
    kind: service === undefined ? 'entry' : 'service',
    isFar: true,
    namespace: service ?? '*',
    name: host,
    host,
    exportTo: spec.namespaces as string[],
    ports: (spec.ports as number[]).map((port) => {
      return { port, target: port, name: '', protocol: 'sniffed' as const };
    }),
    addresses: [],
    headless: false,
    external: false,
    aliasOf: '',
    resolution: '',
    anyAddress: false,
    selector: undefined,
    servers: [],
    nodeLocal: false,
    identities: [],
    mergeKey: '',
    created: '',
  };
}

/** Services of a mesh have one name in all its clusters; MCS gives them another name, too. */
function serviceNamespace(host: string, clusterDomain: string): string | undefined {
  const [name, namespace, ...rest] = host.split('.');
  const isService = [`svc.${clusterDomain}`, `svc.${clusterSetDomain}`].includes(rest.join('.'));
  return isService && name && !name.startsWith('*') ? namespace : undefined;
}

import type { Catalog } from '../mesh/catalog.ts';
import { selects } from '../mesh/label-selector.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import type { HostPort, HostRecord } from '../mesh/records.ts';
import { defaultRevision } from '../mesh/revision.ts';
import type { WorkloadRecord } from '../mesh/workload-entry.ts';
import { accountIdentity } from './identities.ts';
import { type Peer, peerMode } from './peer-authentication.ts';

/** One server behind a port of a host, as full configuration would call it. */
export type Server = {
  address: string;
  speech: Speech;
  /** `ns/NAMESPACE/sa/NAME`; undefined if its identity is unknown. */
  identity: string | undefined;
  network: string;
  /** The reason for plain text; empty if the call is not in plain text. */
  plainReason: string;
};

/**
 * `tunnel`: HBONE, through the ztunnel of the ambient mesh, which only a real cluster of istiod
 * does.
 */
export type Speech = 'mtls' | 'plain' | 'tunnel';

/**
 * The servers of a port. For a Service, its ready endpoints; if none is ready, those that are
 * starting.
 */
export function serversOf(
  catalog: Catalog,
  record: HostRecord,
  port: number,
  rootNamespace: string,
): Server[] {
  const declared = record.ports.find((each) => each.port === port);
  if (!declared) return [];
  const found = record.kind === 'service' ? serviceServers : entryServers;
  return found(catalog, record, declared, rootNamespace);
}

function serviceServers(
  catalog: Catalog,
  record: HostRecord,
  port: HostPort,
  rootNamespace: string,
): Server[] {
  // The EndpointSlice names the port of an endpoint by the name of the Service's port.
  const endpoints = [...catalog.slicesOf(record)].flatMap((slice) => {
    const served = slice.ports.find(({ name }) => name === port.name || name === '');
    // A slice without ports serves every port.
    const target = slice.ports.length === 0 ? port.port : served?.port;
    return target === undefined ? [] : slice.endpoints.map((each) => ({ ...each, target }));
  });
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  const pods = (ready.length > 0 ? ready : endpoints).map(({ ip, pod: path, target }) => {
    const [namespace = '', pod = ''] = path?.split('/') ?? [];
    const found = path ? catalog.pod(namespace, pod) : catalog.podAt(ip);
    return found ? serverOfPod(catalog, found, target, rootNamespace) : unknownServer(ip);
  });
  // pilot/pkg/serviceregistry/kube/controller/controller.go, serviceInstancesFromWorkloadInstances.
  const { selector, namespace } = record;
  if (!selector || record.headless || record.external) return pods;
  const machines = catalog.workloadEntriesIn(namespace).flatMap((workload) => {
    const target = targetOf(workload, port);
    const isMeant = target !== undefined && selects(selector, workload.labels);
    return isMeant ? serverOfWorkload(catalog, workload, target, rootNamespace) : [];
  });
  return [...pods, ...machines];
}

function targetOf({ ports }: WorkloadRecord, { name, target }: HostPort): number | undefined {
  return typeof target === 'number' ? (ports[name] ?? target) : ports[target];
}

/** pilot/pkg/serviceregistry/serviceentry/conversion.go, convertServiceEntryToInstances. */
function entryServers(
  catalog: Catalog,
  { namespace, selector, servers, resolution }: HostRecord,
  port: HostPort,
  rootNamespace: string,
): Server[] {
  const target = typeof port.target === 'number' ? port.target : port.port;
  const ofWorkload = (workload: WorkloadRecord) =>
    serverOfWorkload(catalog, workload, workload.ports[port.name] ?? target, rootNamespace);
  if (selector) {
    const pods = [...catalog.podsIn(namespace)].filter(
      ({ labels, running, ips }) => running && ips.length > 0 && selects(selector, labels),
    );
    return [
      ...pods.map((pod) => serverOfPod(catalog, pod, target, rootNamespace)),
      ...catalog
        .workloadEntriesIn(namespace)
        .filter(({ labels }) => selects(selector, labels))
        .map(ofWorkload),
    ];
  }
  if (servers.length > 0) return servers.map(ofWorkload);
  // DNS, or the app, decides the address of the host, so its identity is unknown.
  return resolution === 'STATIC' ? [] : [unknownServer('')];
}

/** istiod treats an endpoint that is not a pod as one without a sidecar. */
function unknownServer(address: string): Server {
  const plainReason = 'an endpoint is not a pod of this mesh';
  return { address, speech: 'plain', identity: undefined, network: '', plainReason };
}

/**
 * pilot/pkg/xds/endpoints/mtls_checker.go, checkMtlsEnabled; endpoint_builder.go, supportTunnel.
 */
export function serverOfPod(
  catalog: Catalog,
  pod: PodRecord,
  target: number,
  rootNamespace: string,
): Server {
  const { namespace, serviceAccount, network, ips } = pod;
  const identity = accountIdentity(namespace, serviceAccount);
  const server = { address: ips[0] ?? '', identity, network };
  if (pod.isCaptured) return { ...server, ...byTunnel };
  return { ...server, ...speechOf(catalog, pod, target, pod.acceptsMtls, rootNamespace) };
}

function serverOfWorkload(
  catalog: Catalog,
  workload: WorkloadRecord,
  target: number,
  rootNamespace: string,
): Server {
  const { namespace, serviceAccount, address, network, labels, acceptsMtls } = workload;
  const peer = { namespace, labels, revision: defaultRevision };
  return {
    address,
    network,
    identity: serviceAccount === '' ? undefined : accountIdentity(namespace, serviceAccount),
    ...(workload.isCaptured
      ? byTunnel
      : speechOf(catalog, peer, target, acceptsMtls, rootNamespace)),
  };
}

const byTunnel = { speech: 'tunnel', plainReason: '' } as const;

function speechOf(
  catalog: Catalog,
  peer: Peer,
  target: number,
  acceptsMtls: boolean,
  rootNamespace: string,
): Pick<Server, 'speech' | 'plainReason'> {
  if (!acceptsMtls) return { speech: 'plain', plainReason: 'an endpoint has no sidecar' };
  if (peerMode(catalog, peer, target, rootNamespace) !== 'DISABLE') {
    return { speech: 'mtls', plainReason: '' };
  }
  return { speech: 'plain', plainReason: 'a PeerAuthentication disables mutual TLS' };
}

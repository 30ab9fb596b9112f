import type { Catalog } from '../mesh/catalog.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import type { HostRecord } from '../mesh/records.ts';
import { accountIdentity } from './identities.ts';
import { peerMode } from './peer-authentication.ts';

/** One server behind a port of a host, as full configuration would speak to it. */
export type Server = {
  speech: Speech;
  /** `ns/NAMESPACE/sa/NAME`; undefined when nobody says as whom it answers. */
  identity: string | undefined;
  network: string;
  /** Why it is spoken to in plain text; empty when it is not. */
  plainReason: string;
};

/** `tunnel`: HBONE, through the ztunnel of the ambient mesh, which only a real cluster of istiod does. */
export type Speech = 'mtls' | 'plain' | 'tunnel';

/**
 * The servers of a port: its ready endpoints, or with none ready those about to be. Which port an endpoint
 * listens on, its slice says by the name of the Service's port.
 */
export function serversOf(
  catalog: Catalog,
  record: HostRecord,
  port: number,
  rootNamespace: string,
): Server[] {
  const name = record.ports.find((each) => each.port === port)?.name ?? '';
  const endpoints = [...catalog.slicesOf(record)].flatMap((slice) => {
    const served = slice.ports.find((each) => each.name === name || each.name === '');
    // A port without a number is any that is asked for.
    const target = slice.ports.length === 0 ? port : served?.port;
    return target === undefined ? [] : slice.endpoints.map((each) => ({ ...each, target }));
  });
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  return (ready.length > 0 ? ready : endpoints).map(({ ip, pod: path, target }) => {
    const [namespace = '', pod = ''] = path?.split('/') ?? [];
    const found = path ? catalog.pod(namespace, pod) : catalog.podAt(ip);
    return found ? serverOfPod(catalog, found, target, rootNamespace) : unknownServer;
  });
}

/** istiod takes an endpoint that is no pod for one without a sidecar. */
const unknownServer: Server = {
  speech: 'plain',
  identity: undefined,
  network: '',
  plainReason: 'an endpoint is not a pod of this mesh',
};

/** pilot/pkg/xds/endpoints/mtls_checker.go, checkMtlsEnabled; endpoint_builder.go, supportTunnel. */
export function serverOfPod(
  catalog: Catalog,
  pod: PodRecord,
  target: number,
  rootNamespace: string,
): Server {
  const { namespace, serviceAccount, network } = pod;
  const identity = accountIdentity(namespace, serviceAccount);
  const server = { identity, network, plainReason: '' };
  if (!pod.acceptsMtls) {
    if (pod.isCaptured) return { ...server, speech: 'tunnel' };
    return { ...server, speech: 'plain', plainReason: 'an endpoint has no sidecar' };
  }
  if (peerMode(catalog, pod, target, rootNamespace) !== 'DISABLE') {
    return { ...server, speech: 'mtls' };
  }
  const plainReason = 'a PeerAuthentication disables mutual TLS';
  return { ...server, speech: 'plain', plainReason };
}

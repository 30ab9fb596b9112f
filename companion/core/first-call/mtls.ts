import type { Catalog } from '../mesh/catalog.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import type { HostRecord } from '../mesh/records.ts';
import { type Client, type ClientRule, clientRules, tlsModeFor } from './destination-rule.ts';
import { type Server, type Speech, serverOfPod, serversOf } from './endpoints.ts';
import { pinnedIdentities } from './identities.ts';

/**
 * How a proxy with full configuration would connect to the servers of a destination.
 *  - `mtls`: to all servers by mutual TLS with the workload's own certificate;
 *  - `mixed`: to some servers by mutual TLS, to others in plain text;
 *  - `plain`: to all servers in plain text;
 *  - `own`: by the TLS settings of a DestinationRule, which only the real cluster applies;
 *  - `tunnel`: to some servers by HBONE, which only the real cluster supports;
 *  - `nobody`: no server is known in this cluster; another cluster may have one.
 */
export type Mtls = {
  speech: Exclude<Speech, 'tunnel'> | 'mixed' | 'own' | 'tunnel' | 'nobody';
  /** The reason why not all servers use mutual TLS; empty if all do. */
  reason: string;
  /**
   * SPIFFE identities of the servers that accept mutual TLS, sorted; empty if unknown or too many.
   */
  identities: string[];
  /** Networks of the servers, '' for the default network. */
  networks: Set<string>;
  /** Known addresses of the servers. */
  addresses: Set<string>;
};

export type MeshNames = { trustDomain: string; rootNamespace: string };

type Target<Pod> = { record: HostRecord; port: number; pod?: Pod | undefined };

/** What decides about mutual TLS to a host. */
export type ServersView<Pod> = {
  trustDomain: string;
  /** Other names of the trust domain for the sidecars of a namespace. */
  trustDomainAliasesIn(namespace: string): readonly string[];
  /** Whether sidecars of a namespace use mutual TLS where no DestinationRule says so. */
  autoMtlsIn(namespace: string): boolean;
  clientRules(record: HostRecord, from: string): readonly ClientRule[];
  serversOf(record: HostRecord, port: number): readonly Server[];
  /** The pod as a server of a headless Service. */
  serverOfPod(record: HostRecord, pod: Pod, port: number): Server;
};

export function serversViewOf(
  catalog: Catalog,
  { trustDomain, rootNamespace }: MeshNames,
): ServersView<PodRecord> {
  return {
    trustDomain,
    trustDomainAliasesIn: catalog.trustDomainAliasesIn,
    autoMtlsIn: catalog.autoMtlsIn,
    clientRules: (record, from) => clientRules(catalog, record, from, rootNamespace),
    serversOf: (record, port) => serversOf(catalog, record, port, rootNamespace),
    serverOfPod: (_, pod, port) => serverOfPod(catalog, pod, port, rootNamespace),
  };
}

/** How this client would use mutual TLS to a port of a host, or to one pod of the host. */
export function mtlsOf<Pod>(
  view: ServersView<Pod>,
  { record, port, pod }: Target<Pod>,
  client: Client,
): Mtls {
  const rule = tlsModeFor(view.clientRules(record, client.namespace), port, client);
  if (rule !== '' && rule !== 'DISABLE' && (record.external || rule !== 'ISTIO_MUTUAL')) {
    return without('own', `a DestinationRule sets TLS mode ${rule}`);
  }
  if (record.external) return without('plain', 'outside the mesh');
  if (rule === 'DISABLE') return without('plain', 'a DestinationRule sets TLS mode DISABLE');
  const isAuto = rule !== '' || view.autoMtlsIn(client.namespace);
  const known = pod ? [view.serverOfPod(record, pod, port)] : view.serversOf(record, port);
  const servers = isAuto ? known : known.map(withoutAuto);
  if (servers.length === 0) return without('nobody', 'no endpoints');
  const isForced = rule === 'ISTIO_MUTUAL';
  const spoken = servers.filter(({ speech }) => isForced || speech === 'mtls');
  const found = speechOf(servers, spoken.length);
  const identities = spoken.flatMap(({ identity }) => identity ?? []);
  return {
    ...found,
    identities:
      // A server without a known identity may present any identity of the mesh.
      identities.length < spoken.length
        ? []
        : pinnedIdentities(
            [...identities, ...record.identities],
            [view.trustDomain, ...view.trustDomainAliasesIn(client.namespace)],
          ),
    networks: new Set(servers.map(({ network }) => network)),
    addresses: new Set(servers.map(({ address }) => address)),
  };
}

/** pilot/pkg/networking/core/cluster_tls.go, buildUpstreamTLSSettings. */
function withoutAuto(server: Server): Server {
  if (server.speech !== 'mtls') return server;
  return { ...server, speech: 'plain', plainReason: 'enableAutoMtls is false' };
}

function speechOf(servers: readonly Server[], spoken: number): Pick<Mtls, 'speech' | 'reason'> {
  if (spoken === servers.length) return { speech: 'mtls', reason: '' };
  if (servers.some(({ speech }) => speech === 'tunnel')) {
    return { speech: 'tunnel', reason: 'an endpoint is in the ambient mesh' };
  }
  // One of them, the same in whatever order the servers are known.
  const [reason = ''] = servers.flatMap(({ plainReason }) => plainReason || []).sort();
  return { speech: spoken > 0 ? 'mixed' : 'plain', reason };
}

export function without(speech: Mtls['speech'], reason: string): Mtls {
  return { speech, reason, identities: [], networks: new Set(), addresses: new Set() };
}

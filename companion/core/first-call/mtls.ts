import type { Catalog } from '../mesh/catalog.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import type { HostRecord } from '../mesh/records.ts';
import { type Client, ruleTlsMode } from './destination-rule.ts';
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

type Target = { record: HostRecord; port: number; pod?: PodRecord | undefined };

/** How this client would use mutual TLS to a port of a host, or to one pod of the host. */
export function mtlsOf(
  catalog: Catalog,
  { record, port, pod }: Target,
  client: Client,
  { trustDomain, rootNamespace }: MeshNames,
): Mtls {
  const rule = ruleTlsMode(catalog, record, port, client, rootNamespace);
  if (rule !== '' && rule !== 'DISABLE' && (record.external || rule !== 'ISTIO_MUTUAL')) {
    return without('own', `a DestinationRule sets TLS mode ${rule}`);
  }
  if (record.external) return without('plain', 'outside the mesh');
  if (rule === 'DISABLE') return without('plain', 'a DestinationRule sets TLS mode DISABLE');
  const servers = pod
    ? [serverOfPod(catalog, pod, port, rootNamespace)]
    : serversOf(catalog, record, port, rootNamespace);
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
            [trustDomain, ...catalog.trustDomainAliasesIn(client.namespace)],
          ),
    networks: new Set(servers.map(({ network }) => network)),
    addresses: new Set(servers.map(({ address }) => address)),
  };
}

function speechOf(servers: readonly Server[], spoken: number): Pick<Mtls, 'speech' | 'reason'> {
  if (spoken === servers.length) return { speech: 'mtls', reason: '' };
  if (servers.some(({ speech }) => speech === 'tunnel')) {
    return { speech: 'tunnel', reason: 'an endpoint is in the ambient mesh' };
  }
  const reason = servers.find(({ plainReason }) => plainReason)?.plainReason ?? '';
  return { speech: spoken > 0 ? 'mixed' : 'plain', reason };
}

export function without(speech: Mtls['speech'], reason: string): Mtls {
  return { speech, reason, identities: [], networks: new Set(), addresses: new Set() };
}

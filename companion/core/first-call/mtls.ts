import type { Catalog } from '../mesh/catalog.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import type { HostRecord } from '../mesh/records.ts';
import { type Client, ruleTlsMode } from './destination-rule.ts';
import { type Server, type Speech, serverOfPod, serversOf } from './endpoints.ts';
import { pinnedIdentities } from './identities.ts';

/**
 * How full configuration would speak to a destination, and to whom.
 *  - `mtls`: to every server with the workload's own certificate;
 *  - `mixed`: to some of them so, to others in plain text;
 *  - `plain`: to none of them so;
 *  - `own`: by TLS of its own kind, which only the real cluster does: a DestinationRule says how;
 *  - `tunnel`: to some by HBONE, which only the real cluster does;
 *  - `nobody`: no server is known here; one may be in another cluster.
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

/** Mutual TLS of a host's port, or of one pod of it, as a client would use it. */
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
      // An unnamed server may present any identity of the mesh.
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

import type { MeshView } from '../../core/first-call/decide.ts';
import { isCarried } from '../../core/first-call/gateway.ts';
import { type MeshNames, serversViewOf } from '../../core/first-call/mtls.ts';
import type { FirstCall } from '../../core/first-call/strategy.ts';
import type { HostRecord } from '../../core/mesh/records.ts';
import type { State } from '../state/state.ts';

export type AnswerConfig = MeshNames & {
  clusterDomain: string;
  firstCall: FirstCall;
  gatewayHost: string;
};

/** The mesh as this replica's watches show it. */
export function meshView(
  { catalog, arrivals }: Pick<State, 'catalog' | 'arrivals'>,
  config: Omit<AnswerConfig, 'firstCall'>,
  now: number,
): MeshView {
  const { clusterDomain, gatewayHost } = config;
  return {
    ...serversViewOf(catalog, config),
    registry: catalog,
    clusterDomain,
    isGatewayReady: () =>
      catalog.hosts.exact(gatewayHost).some((record) => catalog.isReachable(nameOf(record))),
    isCarried: (record, port) => isCarried(catalog, { record, port }, gatewayHost, config),
    hasOtherClusters: (from) => catalog.hasOtherNetworks() || seesFarHosts(catalog, from),
    retriesIn: catalog.retriesIn,
    // Only Services come and go with their pods; a ServiceEntry is held for, or goes another way.
    ageMs: (record) =>
      record.kind === 'service' ? arrivals.ageMs(nameOf(record), now) : Number.POSITIVE_INFINITY,
  };
}

/** Proxies of the namespace have reported Services of other clusters. */
function seesFarHosts(catalog: State['catalog'], from: string): boolean {
  for (const record of catalog.farHosts()) if (catalog.isVisible(record, from)) return true;
  return false;
}

function nameOf({ namespace, name }: HostRecord): string {
  return `${namespace}/${name}`;
}

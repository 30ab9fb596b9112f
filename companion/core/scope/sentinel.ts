import type { KubeObject } from '../../kube/object.ts';
import type { ExportTo, HostRecord } from '../mesh/records.ts';
import { managedBy } from './sidecar.ts';

/**
 * The sentinel: a ServiceEntry without endpoints that every scope imports, so that each HTTP port
 * of the mesh keeps its `0.0.0.0_PORT` listener. Without it an unknown call on that port would be
 * bytes to the proxy, and no HTTP filter would see it.
 */
export const sentinelHost = 'http-ports.lazyscope.internal';
const sentinelName = 'lazyscope-http-ports';

/** Ports that the proxy itself listens on (Istio "Ports used by Istio", sidecar). */
const proxyPorts = new Set([15000, 15001, 15006, 15008, 15009, 15020, 15021, 15053, 15090]);
/** Ports of istiod without TLS (Istio "Ports used by Istio", control plane). */
const istiodPorts = new Set([15010, 15014]);

/**
 * Most ports of the sentinel. Each is a listener with routes in every scoped proxy, about 60 KB, so
 * Services of one tenant cost the proxies of others at most 4 MB. Meshes use a dozen HTTP ports or
 * so.
 */
export const sentinelPortsMax = 64;

/** The namespaces of Lazyscope and of istiod. */
export type SystemNamespaces = { namespace: string; rootNamespace: string };

/** The namespaces whose proxies may have a scope, and what they see. */
export type Viewers = {
  /** Each with the revisions of istiod that configure its proxies. */
  namespaces: ReadonlyMap<string, readonly string[]>;
  /** To whom istiod of a revision exports a host; empty: to all, undefined: to nobody. */
  exportsUnder(record: HostRecord, revision: string): ExportTo | undefined;
};

export type SentinelPorts = {
  /** Sorted, and never empty, because a ServiceEntry needs a port. */
  ports: number[];
  /** Ports above the bound, sorted. */
  leftOut: number[];
};

/**
 * Ports on which a Service or ServiceEntry speaks HTTP, declared or sniffed, and on which some
 * enabled namespace sees it and no TCP. Where the same namespace sees TCP on the port, a listener
 * that detects HTTP would delay a server-first protocol; that is istiod's own rule (see
 * `protocolOf`). What a namespace does not see takes no port from it (`besideSentinel` imports the
 * TCP Services of namespaces that see both). Ports that only Lazyscope or istiod has are left out:
 * no app speaks HTTP to them. A call to a port without a listener is served as TCP until its host
 * is learned.
 *
 * Above `sentinelPortsMax`, the ports that most namespaces declare stay; among these, each
 * namespace has its lowest port before any has its next one, so that one with thousands of ports
 * takes no place from the others.
 */
export function sentinelPorts(
  records: Iterable<HostRecord>,
  { namespace: ours, rootNamespace }: SystemNamespaces,
  viewers: Viewers,
): SentinelPorts {
  const http = new Map<number, Sight>();
  const tcp = new Map<number, Sight>();
  const revisions = [...new Set([...viewers.namespaces.values()].flat())];
  for (const record of records) {
    if (record.namespace === ours) continue;
    for (const { port, protocol } of record.ports) {
      if (record.namespace === rootNamespace && istiodPorts.has(port)) continue;
      if (protocol === 'udp' || proxyPorts.has(port)) continue;
      const sights = protocol === 'tcp' ? tcp : http;
      const sight = sights.get(port) ?? { audience: new Set(), owners: new Set() };
      sights.set(port, sight);
      note(sight, record, revisions, viewers);
    }
  }
  const isCalled = (port: number) =>
    [...viewers.namespaces].some(
      ([name, under]) => isSeen(http.get(port), name, under) && !isSeen(tcp.get(port), name, under),
    );
  const called = ranked(new Map([...http].filter(([port]) => isCalled(port))));
  // 80 is where most calls go, also calls to hosts that nobody declares.
  const seeTcp = ([name, under]: [string, readonly string[]]) => isSeen(tcp.get(80), name, under);
  const isWanted = viewers.namespaces.size === 0 || ![...viewers.namespaces].every(seeTcp);
  if (called.length === 0 || (isWanted && !called.includes(80))) called.unshift(80);
  const sorted = (ports: number[]) => ports.sort((a, b) => a - b);
  return {
    ports: sorted(called.slice(0, sentinelPortsMax)),
    leftOut: sorted(called.slice(sentinelPortsMax)),
  };
}

/** Who sees hosts on a port, `REVISION/NAMESPACE` or `REVISION/` for all, and who declares them. */
type Sight = { audience: Set<string>; owners: Set<string> };

function note(sight: Sight, record: HostRecord, revisions: string[], viewers: Viewers): void {
  sight.owners.add(record.namespace);
  for (const revision of revisions) {
    const to = viewers.exportsUnder(record, revision);
    if (to?.length === 0) sight.audience.add(`${revision}/`);
    for (const name of to ?? [])
      sight.audience.add(`${revision}/${name === '.' ? record.namespace : name}`);
  }
}

function isSeen(sight: Sight | undefined, namespace: string, revisions: readonly string[]) {
  const { audience } = sight ?? {};
  return revisions.some(
    (revision) => audience?.has(`${revision}/`) || audience?.has(`${revision}/${namespace}`),
  );
}

/** The order in which ports stay, as `sentinelPorts` says it. */
function ranked(called: ReadonlyMap<number, Sight>): number[] {
  const next = new Map<string, number>();
  const ranks = new Map<number, number>();
  for (const [port, { owners }] of [...called].sort(([a], [b]) => a - b)) {
    const places = [...owners].map((owner) => next.get(owner) ?? 0);
    ranks.set(port, Math.min(...places));
    for (const owner of owners) next.set(owner, (next.get(owner) ?? 0) + 1);
  }
  const ownersOf = (port: number) => called.get(port)?.owners.size ?? 0;
  const rankOf = (port: number) => ranks.get(port) ?? 0;
  return [...called.keys()].sort(
    (a, b) => ownersOf(b) - ownersOf(a) || rankOf(a) - rankOf(b) || a - b,
  );
}

export function sentinelOf(ports: readonly number[], namespace: string): KubeObject {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: sentinelName, namespace, labels: { ...managedBy } },
    spec: {
      hosts: [sentinelHost],
      location: 'MESH_EXTERNAL',
      resolution: 'NONE',
      exportTo: ['*'],
      ports: ports.map((number) => ({ number, name: `http-${number}`, protocol: 'HTTP' })),
    },
  };
}

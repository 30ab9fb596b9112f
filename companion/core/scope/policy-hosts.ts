import type { Catalog } from '../mesh/catalog.ts';
import type { HostRecord } from '../mesh/records.ts';
import type { EagerHost } from './eager.ts';
import { recordsUnder } from './needed.ts';

type Caller = { namespace: string; rootNamespace: string };

/**
 * One host of each namespace whose PeerAuthentications the proxy needs. istiod gives a scope the
 * PeerAuthentications of the namespaces of its hosts (pilot/pkg/model/sidecar.go,
 * selectAuthnPolicies), but the endpoints of a Service without a selector may be pods of any other
 * namespace. With full configuration a proxy has the policies of every namespace of which it sees a
 * host.
 */
export function* policyHosts(
  catalog: Catalog,
  entries: readonly string[],
  { namespace, rootNamespace }: Caller,
): Generator<EagerHost> {
  const needed = new Map<string, HostRecord>();
  for (const record of entries.flatMap((entry) => withoutSelector(catalog, entry))) {
    for (const owner of podNamespaces(catalog, record)) {
      const isThere = owner === namespace || owner === rootNamespace || needed.has(owner);
      if (!isThere && hasPolicies(catalog, owner)) needed.set(owner, record);
    }
  }
  if (needed.size === 0) return;
  const covered = new Set(entries.flatMap((entry) => importedNamespaces(catalog, entry)));
  for (const [owner, record] of needed) {
    const host = !covered.has(owner) && hostIn(catalog, owner, namespace);
    if (!host) continue;
    const message = `${record.host} leads to pods of namespace ${owner}, whose PeerAuthentications apply with a host of the namespace`;
    yield { entry: `${owner}/${host}`, message };
  }
}

/** Namespaces of the hosts that an entry imports. It may import only VirtualServices. */
function importedNamespaces(catalog: Catalog, entry: string): string[] {
  const [owner, host = ''] = entry.split('/');
  return [...recordsUnder(catalog, host)]
    .map((record) => record.namespace)
    .filter((each) => owner === '*' || each === owner);
}

/** A Service with a selector has pods of its own namespace alone. */
function withoutSelector(catalog: Catalog, entry: string): HostRecord[] {
  const [owner, host = ''] = entry.split('/');
  return catalog.hosts
    .exact(host)
    .filter(
      ({ kind, selector, namespace }) =>
        kind === 'service' && !selector && (owner === '*' || namespace === owner),
    );
}

/** Sorted, so that two replicas choose the same hosts. */
function podNamespaces(catalog: Catalog, record: HostRecord): string[] {
  const found = new Set<string>();
  for (const { endpoints } of catalog.slicesOf(record)) {
    for (const { ip, pod } of endpoints) {
      const owner = pod ? pod.slice(0, pod.indexOf('/')) : catalog.podAt(ip)?.namespace;
      if (owner !== undefined && owner !== record.namespace) found.add(owner);
    }
  }
  return [...found].sort();
}

function hasPolicies(catalog: Catalog, namespace: string): boolean {
  return !catalog.peerAuthenticationsIn(namespace)[Symbol.iterator]().next().done;
}

/** The first by name, if possible one of which a scope takes no port as TCP. */
function hostIn(catalog: Catalog, namespace: string, from: string): string | undefined {
  const records = [...catalog.hosts.patterns()]
    .flatMap((name) => catalog.hosts.exact(name))
    .filter((each) => each.namespace === namespace && catalog.isVisible(each, from));
  const isHttp = ({ ports }: HostRecord) => ports.every(({ protocol }) => protocol !== 'tcp');
  const hosts = (records.some(isHttp) ? records.filter(isHttp) : records).map(({ host }) => host);
  return hosts.sort()[0];
}

import type { Catalog } from '../mesh/catalog.ts';
import type { HostRecord } from '../mesh/records.ts';
import { recordsUnder } from './needed.ts';

export type EagerHost = { entry: string; message: string };

/** An entry of a scope, `namespace/host`, with its record in the catalog. */
function* recordsOf(catalog: Catalog, entry: string): Generator<HostRecord> {
  const [namespace, host = ''] = entry.split('/');
  for (const record of catalog.hosts.exact(host)) if (record.namespace === namespace) yield record;
}

/**
 * Services that declare TCP on a port on which the scope has an HTTP listener. That listener
 * accepts every address and waits for the first bytes of the app to detect HTTP, so a server that
 * speaks first would never be heard. With full configuration such a Service has its own listener.
 */
export function* besideHttp(
  catalog: Catalog,
  namespace: string,
  entries: Iterable<string>,
): Generator<EagerHost> {
  const waiting = [...entries];
  const seen = new Set(waiting);
  const ports = new Set<number>();
  for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
    for (const { port, host } of [...recordsOf(catalog, entry)].flatMap(httpPortsOf)) {
      if (ports.has(port)) continue;
      ports.add(port);
      for (const record of catalog.tcpServicesOn(port)) {
        const found = `${record.namespace}/${record.host}`;
        if (seen.has(found) || !catalog.isVisible(record, namespace)) continue;
        if (seen.size >= eagerMax) return;
        seen.add(found);
        // The host may bring HTTP ports of its own.
        waiting.push(found);
        yield {
          entry: found,
          message: `port ${port} is TCP, but HTTP for ${host}, whose listener waits for the app to speak first`,
        };
      }
    }
  }
}

/**
 * TCP Services on ports of the sentinel's listeners, which would keep their servers waiting, too.
 * Those that all namespaces see are left out, because the sentinel leaves out their ports.
 */
export function* besideSentinel(
  catalog: Catalog,
  namespace: string,
  sentinel: string,
): Generator<EagerHost> {
  const seen = new Set<HostRecord>();
  for (const { port } of [...recordsOf(catalog, sentinel)].flatMap(httpPortsOf)) {
    for (const record of catalog.tcpServicesOn(port)) {
      if (seen.has(record) || catalog.isPublic(record)) continue;
      if (!catalog.isVisible(record, namespace)) continue;
      if (seen.size >= eagerMax) return;
      seen.add(record);
      const message = `port ${port} is TCP, but HTTP for other hosts, whose listener waits for the app to speak first`;
      yield { entry: `${record.namespace}/${record.host}`, message };
    }
  }
}

function httpPortsOf({ host, ports }: HostRecord): { port: number; host: string }[] {
  return ports
    .filter(({ protocol }) => protocol === 'http' || protocol === 'sniffed')
    .map(({ port }) => ({ port, host }));
}

/**
 * Hosts with VirtualService rules for connections. The first connection would bypass the rules, and
 * a connection pool may keep it for days.
 */
export function* ruledConnections(catalog: Catalog, namespace: string): Generator<EagerHost> {
  const seen = new Set<HostRecord>();
  for (const rule of catalog.connectionRules()) {
    if (!catalog.isVisible(rule, namespace)) continue;
    const message = `${rule.madeFrom} ${rule.namespace}/${rule.name} has rules for its connections, which the first connection would bypass`;
    for (const record of rule.hosts.flatMap((host) => [...recordsUnder(catalog, host)])) {
      const isConcerned = record.ports.some(({ protocol }) => protocol !== 'http');
      if (seen.has(record) || !isConcerned || !catalog.isVisible(record, namespace)) continue;
      if (seen.size >= eagerMax) return;
      seen.add(record);
      yield { entry: `${record.namespace}/${record.host}`, message };
    }
  }
}

/**
 * Hosts that istiod makes of ServiceImports if it is set to (ENABLE_MCS_HOST), which no object
 * says. A first call could neither pass, because only istiod may serve the address, nor be steered,
 * because the host may not be there. An entry without a host costs a proxy nothing.
 */
export function* clusterSetHosts(catalog: Catalog, namespace: string): Generator<EagerHost> {
  let found = 0;
  for (const each of catalog.serviceImports()) {
    // istiod copies the visibility of the Service, which may be in another cluster.
    const services = catalog.hosts.exact(each.of);
    const isVisible = (service: HostRecord) => catalog.isVisible(service, namespace);
    if (services.length > 0 && !services.some(isVisible)) continue;
    found += 1;
    if (found > eagerMax) return;
    const message = `ServiceImport ${each.namespace}/${each.name} may be this host, and only istiod knows its servers`;
    yield { entry: `${each.namespace}/${each.host}`, message };
  }
}

/**
 * Hosts whose first call could not be served, each with the reason in words. Each of them makes the
 * scope less useful.
 */
export function* eagerHosts(
  catalog: Catalog,
  namespace: string,
  dnsProxy: boolean,
): Generator<EagerHost> {
  let found = 0;
  for (const record of [...catalog.entries(), ...(dnsProxy ? catalog.farHosts() : [])]) {
    const message = whyEager(record, dnsProxy);
    if (!message || !catalog.isVisible(record, namespace)) continue;
    found += 1;
    if (found > eagerMax) return;
    yield { entry: `${record.namespace}/${record.host}`, message };
  }
}

/**
 * At 300 bytes each, a third of the size that etcd accepts for one object. With more hosts than
 * this, the calls of the rest would be lost, so such a workload is not narrowed (TooManyEager).
 */
export const eagerMax = 1_500;

function whyEager(record: HostRecord, dnsProxy: boolean): string | undefined {
  const { ports, servers, selector, resolution } = record;
  if (dnsProxy) return 'the DNS proxy of the sidecar answers only for hosts in its scope';
  const tcp = ports.find(({ protocol }) => protocol === 'tcp');
  if (tcp) {
    return `port ${tcp.port} is not HTTP: a connection to it needs a listener with its SNI or address`;
  }
  if (resolution === 'STATIC' || servers.length > 0 || selector) {
    return 'its endpoints are configured, and DNS may give the app another address';
  }
  const other = ports.find(({ port, target }) => target !== port);
  return (
    other && `its endpoints listen on port ${other.target}, but the app calls port ${other.port}`
  );
}

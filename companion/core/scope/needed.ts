import type { Catalog } from '../mesh/catalog.ts';
import { isWildcard } from '../mesh/host-pattern.ts';
import type { HostRecord } from '../mesh/records.ts';
import type { VirtualServiceRecord } from '../mesh/rules.ts';
import type { HostRef } from './edges.ts';

/**
 * What has to be imported beside a host, so that istiod makes of it what full configuration does.
 */

/** Each host that an entry of a scope imports; the hosts of a wildcard are those that are there. */
function namesOf(catalog: Catalog, entry: string): { namespace: string; names: string[] } {
  const [namespace = '', host = ''] = entry.split('/');
  if (!isWildcard(host)) return { namespace, names: [host] };
  const there = [...catalog.hosts.under(host)].filter(([, records]) =>
    records.some((record) => record.namespace === namespace),
  );
  return { namespace, names: [host, ...there.map(([name]) => name)] };
}

/**
 * The VirtualServices that rule over a host of the scope, each in its own namespace: it applies
 * only where that namespace is imported with the host (pilot/pkg/model/virtualservice.go,
 * SelectVirtualServices). All of them, not only the most specific: istiod looks at each for a
 * connection.
 */
export function* ruleHosts(catalog: Catalog, entry: string, namespace: string): Generator<HostRef> {
  const { namespace: own, names } = namesOf(catalog, entry);
  // `*` imports the VirtualServices of every namespace.
  if (own === '*') return;
  const [host = ''] = names;
  const isVisible = (rule: VirtualServiceRecord) => catalog.isVisible(rule, namespace);
  const rulesOn = (name: string) => catalog.virtualServices.all(name).filter(isVisible);
  const imports = (rule: VirtualServiceRecord, name: string) => ({
    namespace: rule.namespace,
    host: name,
  });
  if (host !== '*') for (const rule of rulesOn(host)) yield imports(rule, host);
  for (const name of names) yield* ruledAliases(catalog, name, rulesOn(name).length);
  if (!isWildcard(host)) return;
  // These have the wildcard, and so every name under it.
  const covered = new Set([
    own,
    ...(host === '*' ? [] : rulesOn(host)).map((rule) => rule.namespace),
  ]);
  for (const name of names.slice(1)) {
    for (const rule of rulesOn(name)) if (!covered.has(rule.namespace)) yield imports(rule, name);
  }
  if (host === '*') return;
  for (const [name, rules] of catalog.virtualServices.under(host)) {
    for (const rule of rules.filter(isVisible)) {
      if (!covered.has(rule.namespace)) yield imports(rule, name);
    }
  }
}

/** Istio finds the alias that a rule is for in the namespace of the alias only. */
function* ruledAliases(catalog: Catalog, name: string, rules: number): Generator<HostRef> {
  if (rules === 0) return;
  for (const record of catalog.hosts.exact(name)) if (record.aliasOf !== '') yield record;
}

/**
 * Other names of a host of the scope. istiod gives a Service only those of its aliases that are
 * imported with the namespace of the Service (pilot/pkg/model/sidecar.go, matchingAliasService),
 * whoever may see them.
 */
export function* aliasHosts(catalog: Catalog, entry: string): Generator<HostRef> {
  const { namespace, names } = namesOf(catalog, entry);
  for (const name of names) {
    const isThere = catalog.hosts
      .exact(name)
      .some((record) => record.aliasOf === '' && [record.namespace, '*'].includes(namespace));
    if (!isThere) continue;
    for (const alias of catalog.aliasesOf(name)) yield { namespace, host: alias.host };
  }
}

/**
 * The hosts that a destination may have been called by: Envoy tells of what a VirtualService routed
 * to only. Any host under a wildcard may be meant, and so may a name that stands in the
 * VirtualService alone, so the wildcard is imported as it is.
 */
export function* calledHosts(
  catalog: Catalog,
  { host }: HostRef,
  namespace: string,
): Generator<HostRef> {
  for (const rule of catalog.virtualServicesTo(host)) {
    if (!catalog.isVisible(rule, namespace)) continue;
    for (const called of rule.hosts) {
      yield { namespace: rule.namespace, host: called };
      for (const record of recordsUnder(catalog, called)) {
        if (catalog.isVisible(record, namespace))
          yield { namespace: record.namespace, host: called };
      }
    }
  }
}

export function* recordsUnder(catalog: Catalog, pattern: string): Generator<HostRecord> {
  yield* catalog.hosts.exact(pattern);
  if (!isWildcard(pattern)) return;
  for (const [, records] of catalog.hosts.under(pattern)) yield* records;
}

import type { Catalog } from '../mesh/catalog.ts';
import { isWildcard } from '../mesh/host-pattern.ts';
import type { HostRecord } from '../mesh/records.ts';
import type { VirtualServiceRecord } from '../mesh/rules.ts';
import type { HostRef } from './edges.ts';

/**
 * Entries to import with a host, so that istiod configures the host as it does with full
 * configuration.
 */

/** Each host that an entry of a scope imports; for a wildcard, the existing hosts. */
function namesOf(catalog: Catalog, entry: string): { namespace: string; names: string[] } {
  const [namespace = '', host = ''] = entry.split('/');
  if (!isWildcard(host)) return { namespace, names: [host] };
  const there = [...catalog.hosts.under(host)].filter(([, records]) =>
    records.some((record) => record.namespace === namespace),
  );
  return { namespace, names: [host, ...there.map(([name]) => name)] };
}

/**
 * The VirtualServices for a host of the scope, each in its own namespace: a VirtualService applies
 * only if its namespace is imported with the host (pilot/pkg/model/virtualservice.go,
 * SelectVirtualServices). All of them, not only the most specific, because istiod evaluates each
 * for a connection.
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

/** Istio finds the alias of a rule only in the namespace of the alias. */
function* ruledAliases(catalog: Catalog, name: string, rules: number): Generator<HostRef> {
  if (rules === 0) return;
  for (const record of catalog.hosts.exact(name)) if (record.aliasOf !== '') yield record;
}

/**
 * Other names of a host of the scope. istiod gives a Service only the aliases that are imported
 * with the namespace of the Service (pilot/pkg/model/sidecar.go, matchingAliasService), whatever
 * namespaces see them.
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
 * The hosts by which a destination may have been called: Envoy reports only the destination of a
 * VirtualService's route. The app may have called any host under a wildcard, or a name that only
 * the VirtualService has, so the wildcard is imported unchanged.
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

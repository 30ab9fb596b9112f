import type { Catalog } from './catalog.ts';
import type { HostIndex } from './host-pattern.ts';
import type { HostRecord } from './records.ts';
import type { VirtualServiceRecord } from './rules.ts';

type Exports = Pick<Catalog, 'exportsOf' | 'isVisible'>;

/**
 * Records in the order in which istiod shows them to the sidecars of a namespace: what is exported
 * to some namespaces before what all see, and the older first (pilot/pkg/model/push_context.go,
 * servicesExportedToNamespace, SortServicesByCreationTime). What the namespace does not see is left
 * out.
 */
export function inOrder(
  catalog: Exports,
  records: readonly HostRecord[],
  from: string,
): HostRecord[] {
  if (records.length === 0) return [];
  const isForAll = (record: HostRecord) => catalog.exportsOf(record, from)?.length === 0;
  const visible = nearest(records).filter((record) => catalog.isVisible(record, from));
  return visible.length < 2
    ? visible
    : visible
        .map((record) => ({ record, key: [isForAll(record) ? '1' : '0', ...ageOf(record)] }))
        .sort((a, b) => compare(a.key, b.key))
        .map(({ record }) => record);
}

/** A record of this cluster describes a host better than a report. */
function nearest(records: readonly HostRecord[]): readonly HostRecord[] {
  const near = records.filter(({ isFar }) => !isFar);
  return near.length > 0 ? near : records;
}

function ageOf({ created, kind, name, host, namespace }: HostRecord): string[] {
  // To istiod the name of a ServiceEntry is its host.
  return [created, kind === 'entry' ? host : name, namespace, name];
}

function compare(a: readonly string[], b: readonly string[]): number {
  const at = a.findIndex((each, index) => each !== b[index]);
  return at < 0 ? 0 : (a[at] ?? '') < (b[at] ?? '') ? -1 : 1;
}

/**
 * What stands for a host where sidecars of a namespace call it, one record for each object that it
 * is made of: the first is the one that gave it its namespace. `records` are all of that very host.
 * The caller's own namespace wins, then a Service over a ServiceEntry, then the first in order
 * (pilot/pkg/model/sidecar.go, selectServices); ServiceEntries of one namespace that agree become
 * one (appendSidecarServices).
 */
export function shownTo(
  catalog: Exports,
  records: readonly HostRecord[],
  from: string,
): HostRecord[] {
  const ordered = inOrder(catalog, records, from);
  let winner = ordered[0];
  for (const record of ordered) {
    if (winner && wins(record, winner, from)) winner = record;
  }
  return partsOf(ordered.filter(({ namespace }) => namespace === winner?.namespace));
}

function wins(record: HostRecord, over: HostRecord, from: string): boolean {
  if (record.namespace === from) return true;
  return over.namespace !== from && over.kind === 'entry' && record.kind === 'service';
}

/**
 * The records, in order, that make up one host: one Service, or ServiceEntries that agree with the
 * first.
 */
export function partsOf(ordered: readonly HostRecord[]): HostRecord[] {
  const service = ordered.find(({ kind }) => kind === 'service');
  if (service) return [service];
  const [first] = ordered;
  return ordered.filter(
    ({ namespace, mergeKey }) => namespace === first?.namespace && mergeKey === first.mergeKey,
  );
}

export function hasPort(record: HostRecord, port: number): boolean {
  return record.ports.some((each) => each.port === port && each.protocol !== 'udp');
}

/**
 * VirtualServices for the mesh that apply to a host, as seen from a namespace, in one order,
 * however they became known.
 */
export function virtualServicesOf(
  catalog: Pick<Catalog, 'isVisible'> & {
    virtualServices: Pick<HostIndex<VirtualServiceRecord>, 'mostSpecific'>;
  },
  host: string,
  namespace: string,
): readonly VirtualServiceRecord[] {
  const found = catalog.virtualServices.mostSpecific(host, (each) =>
    catalog.isVisible(each, namespace),
  );
  if (found.length < 2) return found;
  return [...found].sort((a, b) => compare([a.namespace, a.name], [b.namespace, b.name]));
}

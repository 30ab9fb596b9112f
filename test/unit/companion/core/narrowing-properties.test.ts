import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type ConfigDump,
  isObject,
  type Json,
} from '../../../../companion/core/oracle/config-dump.ts';
import { compareNarrowed, textOf } from '../../../../companion/core/oracle/narrowing.ts';
import { isOwn } from '../../../../companion/core/oracle/own-parts.ts';
import { sentinelHost } from '../../../../companion/core/scope/sentinel.ts';
import { type DumpedHost, dumpOf } from './proxy-dump.ts';

type Owned = DumpedHost & { isImported: boolean; isKept: boolean };

/** With a listener that passes on what no chain matches, as every proxy has. */
const always: Owned = {
  ...{ host: 'always.shop.svc.cluster.local', by: 'http', port: 9000, address: '10.0.1.1' },
  ...{ isImported: true, isKept: true },
};

/**
 * Hosts of every kind on shared ports. A host for any address has its own port, because it would
 * take all calls of a shared one.
 */
const hosts: fc.Arbitrary<Owned[]> = fc
  .array(
    fc.record({
      by: fc.constantFrom<DumpedHost['by']>('http', 'sniffed', 'tcp', 'sni', 'any address'),
      port: fc.constantFrom(80, 8080),
      isImported: fc.boolean(),
      isKept: fc.boolean(),
    }),
    { maxLength: 6 },
  )
  .map((list) => [
    always,
    ...list.map((each, i) => ({
      ...each,
      host: `h${i}.shop.svc.cluster.local`,
      // The sentinel keeps off ports that are TCP.
      port: { sni: 443, 'any address': 1000 + i }[each.by as string] ?? each.port,
      address:
        each.by === 'http' || each.by === 'tcp' || each.by === 'sniffed'
          ? `10.0.0.${i}`
          : '0.0.0.0',
    })),
  ]);

const fullOf = (all: Owned[], sentinel: number[]) => dumpOf({ hosts: all, sentinel });
const narrowOf = (kept: Owned[], sentinel: number[] = []) =>
  dumpOf({ hosts: kept, sentinel, isEnabled: true, version: '2' });

const differencesOf = (all: Owned[], narrowed: ConfigDump, sentinel: number[] = []) =>
  compareNarrowed(fullOf(all, sentinel), narrowed, {
    entries: [
      `shop/${sentinelHost}`,
      ...all.filter(({ isImported }) => isImported).map(({ host }) => `shop/${host}`),
    ],
  }).differences.map(textOf);

/** Lists whose order has no meaning for Envoy. */
const unordered = new Set([
  ...['dynamic_listeners', 'filter_chains', 'dynamic_route_configs', 'virtual_hosts', 'domains'],
  ...['dynamic_active_clusters', 'ecds_filters', 'configs'],
]);

function shuffled(value: Json, random: () => number, field = ''): Json {
  if (Array.isArray(value)) {
    const list = value.map((each) => shuffled(each, random));
    if (!unordered.has(field)) return list;
    return list
      .map((each) => [random(), each] as const)
      .sort(([a], [b]) => a - b)
      .map(([, each]) => each);
  }
  if (!isObject(value)) return value;
  const fields = Object.entries(value).map(([name, inner]) => [
    name,
    shuffled(inner, random, name),
  ]);
  return Object.fromEntries(random() < 0.5 ? fields : fields.reverse());
}

const ports = fc.subarray([80, 8080, 9001]);

test('leaving out hosts that are not imported, in any order and at any version, loses nothing', () => {
  fc.assert(
    fc.property(hosts, ports, ports, fc.nat(), (all, before, after, seed) => {
      // A linear congruential generator.
      let last = seed;
      const random = () => {
        last = (last * 1_103_515_245 + 12_345) % 2_147_483_648;
        return last / 2_147_483_648;
      };
      const kept = all.filter(({ isImported, isKept }) => isImported || isKept);
      const narrowed = shuffled(narrowOf(kept, after), random) as ConfigDump;
      expect(differencesOf(all, narrowed, before)).toEqual([]);
    }),
  );
});

/** The resources in a section of the dump, without the metadata of their pushes. */
const resources = new Set(['listener', 'route_config', 'cluster', 'ecds_filter']);

/** Paths to all values that are neither lists nor objects, except in Lazyscope's own parts. */
function* leaves(value: Json, path: string[] = []): Generator<string[]> {
  if (isOwn(value)) return;
  if (Array.isArray(value) || isObject(value)) {
    for (const [field, inner] of Object.entries(value))
      if (field !== 'lazyscope') yield* leaves(inner, [...path, field]);
    return;
  }
  if (path.some((field) => resources.has(field))) yield path;
}

const changedOf = (value: Json) => {
  if (typeof value === 'number') return value + 1;
  return typeof value === 'boolean' ? !value : `${String(value)}x`;
};

/** A copy of the value with one place changed or removed. */
function changedAt(value: Json, [field = '', ...rest]: string[], isLost: boolean): Json {
  const copy = Array.isArray(value) ? [...value] : { ...(value as object) };
  const inner = Reflect.get(copy, field);
  if (rest.length > 0) Reflect.set(copy, field, changedAt(inner, rest, isLost));
  else if (!isLost) Reflect.set(copy, field, changedOf(inner));
  else if (Array.isArray(copy)) copy.splice(Number(field), 1);
  else Reflect.deleteProperty(copy, field);
  return copy;
}

test('any change of an imported host, or for all calls, is reported', () => {
  fc.assert(
    fc.property(hosts, fc.nat(), fc.boolean(), (all, which, isLost) => {
      const narrowed = narrowOf(all.filter(({ isImported }) => isImported));
      const places = [...leaves(narrowed)];
      const place = places[which % places.length] ?? [];
      const changed = changedAt(narrowed, place, isLost) as ConfigDump;
      expect(differencesOf(all, changed), place.join(' > ')).not.toEqual([]);
    }),
    { numRuns: 100 },
  );
});

test('the loss of any imported listener, chain, virtual host or cluster is reported', () => {
  const lists = ['dynamic_listeners', 'filter_chains', 'virtual_hosts', 'dynamic_active_clusters'];
  fc.assert(
    fc.property(hosts, fc.nat(), (all, which) => {
      const narrowed = narrowOf(all.filter(({ isImported }) => isImported));
      const places = [...elementsOf(narrowed, new Set(lists))];
      const place = places[which % places.length] ?? [];
      const lost = changedAt(narrowed, place, true) as ConfigDump;
      expect(differencesOf(all, lost), place.join(' > ')).not.toEqual([]);
    }),
    { numRuns: 100 },
  );
});

/** Paths to the elements of these lists, without Lazyscope's own elements and the sentinel's. */
function* elementsOf(value: Json, lists: Set<string>, path: string[] = []): Generator<string[]> {
  if (!Array.isArray(value) && !isObject(value)) return;
  for (const [field, inner] of Object.entries(value)) {
    const here = [...path, field];
    const isElement = Array.isArray(value) && lists.has(path.at(-1) ?? '');
    if (isElement && !isOwn(inner) && !isOwn(Reflect.get(Object(inner), 'cluster'))) yield here;
    yield* elementsOf(inner, lists, here);
  }
}

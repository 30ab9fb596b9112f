import fc from 'fast-check';
import { expect, test } from 'vitest';
import { meshView } from '../../../../companion/controller/nodes/mesh-view.ts';
import { createCompactCatalog } from '../../../../companion/core/compact/catalog.ts';
import { decode, encode, encodeShort } from '../../../../companion/core/compact/encode.ts';
import {
  recordsBesideHosts,
  recordsOfHost,
  type Source,
} from '../../../../companion/core/compact/make.ts';
import { type CompactRecord, keyOf } from '../../../../companion/core/compact/records.ts';
import { restrictTo } from '../../../../companion/core/compact/restrict.ts';
import { textDigest } from '../../../../companion/core/compact/text-digest.ts';
import { createArrivals } from '../../../../companion/core/first-call/arrivals.ts';
import { type Caller, decide } from '../../../../companion/core/first-call/decide.ts';
import { firstCalls } from '../../../../companion/core/first-call/strategy.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { calls, connections, gatewayHost, meshObjects, namespaces } from './random-mesh.ts';

const config = {
  ...{ clusterDomain: 'cluster.local', trustDomain: 'td', rootNamespace: 'istio-system' },
  gatewayHost,
};

/** The last object of a name counts, and the last pod of an address: no two run with one. */
function unique(objects: readonly KubeObject[]): KubeObject[] {
  const name = ({ kind, metadata }: KubeObject) => `${kind} ${metadata.namespace}/${metadata.name}`;
  const place = (each: KubeObject) =>
    each.kind === 'Pod' ? `Pod ${JSON.stringify(each.status?.podIPs)}` : name(each);
  const lastOf = (all: readonly KubeObject[], key: (each: KubeObject) => string) => [
    ...new Map(all.map((each) => [key(each), each])).values(),
  ];
  return lastOf(lastOf(objects, name), place);
}

function sourceOf(objects: readonly KubeObject[]): Source {
  const catalog = createCatalog({ clusterDomain: config.clusterDomain });
  for (const object of objects) catalog.upsert(object);
  const view = meshView({ catalog, arrivals: createArrivals() }, config, 0);
  return { catalog, view, namespaces };
}

/** What is sent to a node with callers in these namespaces, by key; some of it short. */
function sentTo(
  source: Source,
  here: readonly string[],
  isShort: (key: string) => boolean = () => false,
): Map<string, string> {
  const hosts = [...source.catalog.hosts.patterns()].flatMap((each) => recordsOfHost(source, each));
  const kept = [...hosts, ...recordsBesideHosts(source)].flatMap(
    (record) => restrictTo(record, new Set(here)) ?? [],
  );
  const textOf = (record: CompactRecord) => {
    const text = encode(record) ?? '';
    return isShort(keyOf(record)) ? encodeShort(record, text) : text;
  };
  return new Map(kept.map((record) => [keyOf(record), textOf(record)]));
}

function receive(texts: ReadonlyMap<string, string>) {
  const catalog = createCompactCatalog();
  for (const [key, text] of texts) {
    const record = decode(text);
    if (record) catalog.set(key, record);
  }
  return catalog;
}

const caller = fc.record({
  labels: fc.constantFrom<Record<string, string>>({ app: 'a' }, { app: 'b' }),
  network: fc.constantFrom('', 'east'),
  firstCall: fc.constantFrom(...firstCalls),
  imports: fc.boolean(),
});

/** Some hosts are sent short, chosen anew in each run; without a salt, all are sent whole. */
test.each([
  ['all hosts', fc.constant(undefined), 2_000],
  ['a half of the hosts whole and all others short', fc.nat(), 500],
])(
  'a node with %s answers every call as a controller does, or knows that it has to ask',
  (_, salts, least) => {
    let whole = 0;
    fc.assert(
      fc.property(
        meshObjects.map(unique),
        caller,
        fc.subarray([...namespaces], { minLength: 1 }),
        salts,
        (objects, settings, here, salt) => {
          const source = sourceOf(objects);
          const isShort = (key: string) => salt !== undefined && textDigest(key, salt) % 2 === 1;
          const node = receive(sentTo(source, here, isShort));
          const view = node.view();
          if (!view) throw new Error('no mesh');
          for (const namespace of here) {
            const asker: Caller = {
              ...{ ...settings, namespace, isNarrowed: true },
              barrier: () => undefined,
              mayLearn: () => true,
            };
            for (const call of [...calls, ...connections]) {
              const { resolution: wanted, ...expected } = decide(source.view, asker, call);
              const { resolution: found, ...actual } = decide(view, asker, call);
              const { record, ip } = found;
              if (record && node.lacks(record, ip, call.tcp)) continue;
              // A node asks about every host that it does not know.
              if (found.kind === 'external') continue;
              whole += 1;
              expect([call, actual, found.host]).toEqual([call, expected, wanted.host]);
            }
          }
        },
      ),
      { numRuns: 200 },
    );
    // The comparison is worth something only if many calls have a host.
    expect(whole).toBeGreaterThan(least);
  },
);

test('two replicas that learned a mesh in another order send the same records', () => {
  fc.assert(
    fc.property(meshObjects.map(unique), (objects) => {
      const one = sentTo(sourceOf(objects), namespaces);
      const other = sentTo(sourceOf([...objects].reverse()), namespaces);
      expect(new Map([...other].sort())).toEqual(new Map([...one].sort()));
    }),
    { numRuns: 100 },
  );
});

test('a node is sent no object that its pods do not see, and no name of another namespace', () => {
  fc.assert(
    fc.property(meshObjects.map(unique), (objects) => {
      const source = sourceOf(objects);
      const sent = receiveHosts(sentTo(source, ['shop']));
      for (const { namespace, name, host } of sent) {
        const records = source.catalog.hosts.exact(host);
        const seen = records.filter((each) => source.catalog.isVisible(each, 'shop'));
        expect(seen.map((each) => `${each.namespace}/${each.name}`)).toContain(
          `${namespace}/${name}`,
        );
      }
    }),
    { numRuns: 100 },
  );
});

function receiveHosts(texts: ReadonlyMap<string, string>) {
  return [...texts.values()].flatMap((text) => {
    const record = decode(text);
    if (record?.type !== 'host') return [];
    expect(Object.keys({ ...record.host.seen, ...record.host.rules })).toEqual(
      expect.not.arrayContaining(['bank', 'other', 'istio-system']),
    );
    return record.host;
  });
}

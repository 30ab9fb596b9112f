import { Readable } from 'node:stream';
import fc from 'fast-check';
import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { readNamespace } from '../../companion/controller/state/namespaces.ts';
import { createCatalog } from '../../companion/core/mesh/catalog.ts';
import { readSidecar } from '../../companion/core/scope/sidecar.ts';
import { readWorkloadScope } from '../../companion/core/scope/workload-scope.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { startWatch } from '../../companion/kube/watch.ts';
import { service } from '../unit/companion/core/objects.ts';
import { anything, fuzz, fuzzTimeoutMs, mutated, text } from './fuzz.ts';

vi.setConfig({ testTimeout: fuzzTimeoutMs });

const kinds = [
  ...['Service', 'ServiceEntry', 'EndpointSlice', 'Pod', 'VirtualService', 'DestinationRule'],
  'PeerAuthentication',
];
const name = fc.constantFrom('a', 'b', 'c');
const metadata = fc.record({
  name,
  namespace: fc.constantFrom('shop', 'bank'),
  uid: name,
  resourceVersion: fc.nat().map(String),
  labels: fc.dictionary(fc.oneof(text, fc.constant('kubernetes.io/service-name')), text),
  annotations: fc.dictionary(fc.constantFrom('networking.istio.io/exportTo', 'x'), text),
});
const objectOf = (kind: fc.Arbitrary<string>) =>
  fc.record({
    apiVersion: fc.constant('v1'),
    kind,
    metadata,
    spec: anything,
    status: anything,
    endpoints: anything,
    ports: anything,
  }) as fc.Arbitrary<KubeObject>;

/** An earlier reader took this list for an address. */
const oddAddress: KubeObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'a', namespace: 'shop', uid: 'a' },
  spec: { clusterIP: [] },
};

test('for any objects of users the catalog keeps nothing of removed objects, and knows the others', async () => {
  const objects = fc.array(objectOf(fc.constantFrom(...kinds)), { maxLength: 12 });
  await fuzz(
    fc.property(objects, (given) => {
      const catalog = createCatalog({ clusterDomain: 'cluster.local' });
      const good = service('shop/good', { ip: '10.96.0.99' });
      const touch = (verb: 'upsert' | 'remove', object: KubeObject) => {
        try {
          catalog[verb](object);
        } catch (error) {
          // The watch logs the error and continues with the next object (companion/kube/watch.ts).
          expect(verb).toBe('upsert');
          expect(error).toBeInstanceOf(Error);
        }
      };
      touch('upsert', good);
      for (const object of given) touch('upsert', object);
      expect(catalog.hostsAt('10.96.0.99').map((record) => record.name)).toContain('good');
      for (const object of given) touch('remove', object);
      touch('remove', good);
      expect(Object.values(catalog.sizes()).filter((size) => size !== 0)).toEqual([]);
    }),
    [[[oddAddress]]],
  );
});

test('any content of a Sidecar, a WorkloadScope or a Namespace is read or refused', async () => {
  const readers = [readSidecar, readWorkloadScope, readNamespace];
  await fuzz(
    fc.property(objectOf(fc.constant('Sidecar')), fc.constantFrom(...readers), (object, read) => {
      try {
        expect(read(object)).toBeTypeOf('object');
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }),
  );
});

const event = fc
  .record({
    type: fc.constantFrom('ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR', ''),
    object: fc.oneof(anything, objectOf(fc.constantFrom(...kinds))),
  })
  .map((each) => Buffer.from(`${JSON.stringify(each)}\n`));
const stream = fc
  .array(fc.oneof(event, mutated(event)), { maxLength: 6 })
  .map((lines) => Buffer.concat(lines.map((each) => Buffer.from(each))));

test('for any bytes a watch continues, and reports only objects with a name', async () => {
  const resource = { group: '', version: 'v1', plural: 'pods' };
  const list = { apiVersion: 'v1', kind: 'PodList', metadata: { resourceVersion: '1' }, items: [] };
  await fuzz(
    fc.asyncProperty(stream, fc.integer({ min: 1, max: 50 }), async (bytes, size) => {
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) =>
        bytes.subarray(n * size, (n + 1) * size),
      );
      const told: unknown[] = [];
      const body = Readable.from(chunks);
      const read = new Promise((resolve) => body.once('close', resolve));
      const send = async (_method: string, path: string) =>
        path.includes('watch=true') ? body : Readable.from([Buffer.from(JSON.stringify(list))]);
      const watch = startWatch({
        path: '/api/v1/pods',
        resource,
        handler: { upsert: (each) => told.push(each), remove: (each) => told.push(each) },
        send: send as never,
        log: pino({ level: 'silent' }),
        onBrokenWatch: () => undefined,
        inTurn: (list) => list(),
      });
      await read;
      watch.stop();
      for (const each of told) expect((each as KubeObject).metadata.name).toBeTypeOf('string');
    }),
    [[Buffer.from('{"type":"MODIFIED","object":{"metadata":{"nane":"a","uid":"a"}}}\n'), 16]],
  );
});

import { expect, test } from 'vitest';
import { createState } from '../../../../companion/controller/state/state.ts';
import { markTouched } from '../../../../companion/controller/watch/touched.ts';
import { istio, service } from '../core/objects.ts';

const clusterDomain = 'cluster.local';
const hostOf = (name: string) => `${name}.shop.svc.cluster.local`;

/** The hosts that an object marks for a new look, or `all`. */
function marksOf() {
  const state = createState({ clusterDomain, namespace: 'lazyscope-system' });
  for (const name of ['a', 'b', 'c']) state.catalog.upsert(service(`shop/${name}`));
  const marked: string[] = [];
  const nothing = () => undefined;
  const touch = markTouched(
    {
      mark: {
        ...{ markIn: nothing, markRest: nothing, markDue: nothing },
        ...{ callers: nothing, settings: nothing },
        mark: (hosts) => void marked.push(...hosts),
        markAll: () => void marked.push('all'),
      },
    },
    state,
    {
      clusterDomain,
      rootNamespace: 'istio-system',
      gatewayHost: 'lazyscope-egress.lazyscope-system.svc.cluster.local',
    },
  );
  return (object: Parameters<typeof touch>[0]) => {
    touch(object);
    return marked.splice(0);
  };
}

const rule = (host: string) => istio('DestinationRule', 'shop/rule', { host });

test('a DestinationRule marks its host, and the one that it was for before', () => {
  const touch = marksOf();
  expect(touch(rule('a'))).toEqual([hostOf('a')]);
  expect(touch(rule('b'))).toEqual([hostOf('b'), hostOf('a')]);
});

test('a DestinationRule for a wildcard marks every host under it', () => {
  const touch = marksOf();
  const wildcard = '*.shop.svc.cluster.local';
  expect(touch(rule(wildcard))).toEqual([wildcard, ...['a', 'b', 'c'].map(hostOf)]);
});

test('a DestinationRule for the gateway marks all hosts, because the gateway carries them', () => {
  const touch = marksOf();
  expect(touch(rule('lazyscope-egress.lazyscope-system.svc.cluster.local'))).toContain('all');
});

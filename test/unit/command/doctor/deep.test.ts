import { expect, test } from 'vitest';
import type { Diagnosis } from '../../../../command/doctor/check.ts';
import { commandLine } from '../host.ts';
import { meshOf } from './situation.ts';

/** What the doctor says of a proxy with this listener, and with one cluster. */
async function foundIn(listener: object): Promise<Diagnosis[]> {
  const section = (type: string, rest: object) => ({
    '@type': `type.googleapis.com/envoy.admin.v3.${type}`,
    ...rest,
  });
  const configs = [
    section('ClustersConfigDump', {
      dynamic_active_clusters: [{ cluster: { name: 'outbound|80||cart.shop.svc.cluster.local' } }],
    }),
    section('ListenersConfigDump', { dynamic_listeners: [listener] }),
  ];
  const cluster = meshOf({ dumps: { 'shop/web': { configs } } });
  const { out } = await commandLine('doctor --deep all -o json', cluster);
  const { findings } = JSON.parse(out) as { findings: Diagnosis[] };
  return findings.filter(({ id }) => id === 'refused-config' || id === 'dangling-cluster');
}

test('the reason of a refusal is shown without what Envoy marks it with', async () => {
  // As Envoy 1.40 writes it.
  const details = 'goo.gle/debugproto  \n: Proto constraint validation failed (StatPrefix)';
  const [found] = await foundIn({ error_state: { details } });
  expect(found?.sentence).toBe(
    'its Envoy refused 1 part of its configuration: Proto constraint validation failed (StatPrefix)',
  );
});

const cart = 'cart.shop.svc.cluster.local';
test.each([
  ['whose host the scope lacks', `outbound|80||gone.${cart}`, /^import the host: lazyscope pin /],
  ['of a subset', `outbound|80|v2|${cart}`, /^declare subset v2 in a DestinationRule of cart\./],
  ['of no Service', 'ratelimit', /^let the EnvoyFilter or extension that names ratelimit add it/],
])('a missing cluster %s has a remedy of its own', async (_, cluster, remedy) => {
  const [found] = await foundIn({
    active_state: { listener: { name: '0.0.0.0_80', filter_chains: [{ filters: [{ cluster }] }] } },
  });
  expect(found?.sentence).toContain(`it lacks ${cluster}`);
  expect(found?.remedy).toMatch(remedy);
});

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isOwn } from '../../../companion/core/oracle/own-parts.ts';
import { copyOfManifests, edit } from './copy.ts';
import { find, type Manifest, render } from './render.ts';

/** The EnvoyFilter of a namespace without the filter, with other settings than the shipped ones. */
function rendered(settings: Record<string, string> = {}): Manifest {
  const folder = copyOfManifests();
  edit(join(folder, 'example', 'kustomization.yaml'), (text) =>
    text.replace('../namespace', '../namespace-access-log'),
  );
  edit(join(folder, 'namespace-access-log', 'settings.env'), (text) =>
    text.replaceAll(
      /^(\w+)=.*$/gm,
      (line, name) => `${name}=${settings[name] ?? line.split('=')[1]}`,
    ),
  );
  const objects = render(join(folder, 'example'));
  expect(objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
    'Namespace my-namespace',
    'EnvoyFilter lazyscope-access-log',
  ]);
  return find(objects, 'EnvoyFilter', 'lazyscope-access-log');
}

const inlineStrings = (filter: Manifest): string[] =>
  [...JSON.stringify(filter).matchAll(/"inline_string":"(.*?)"/g)].map(
    ([, text]) => text as string,
  );

test('the range of Services, the plain addresses and the names of the mesh are filled everywhere', () => {
  const filter = rendered({
    serviceCidr: '172.20.0.0/14',
    secondServiceCidr: 'fd00:20::/108',
    plainAddresses: '172.20.0.1|172.20.0.10',
    clusterDomain: 'mesh.example',
    trustDomain: 'trust.example',
  });
  expect(filter.metadata.namespace).toBe('my-namespace');
  expect(filter.metadata.annotations).toMatchObject({
    'lazyscope.io/service-cidr': '172.20.0.0/14,fd00:20::/108',
    'lazyscope.io/plain-addresses': '172.20.0.1|172.20.0.10',
  });
  const found = inlineStrings(filter);
  const networks = found.filter((text) => text.startsWith('%DOWNSTREAM'));
  const network = (bits: number) => `%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(${bits})%`;
  expect(networks).toEqual(
    Array(3)
      .fill([network(14), network(108)])
      .flat(),
  );
  const choices = found.filter((text) => text.startsWith('%CEL'));
  expect(choices).toHaveLength(3);
  for (const text of choices)
    expect(text).toContain(
      "(filter_state['lazyscope.network'] == b'172.20.0.0/14' || filter_state['lazyscope.second-network'] == b'fd00:20::/108') && !destination.address.matches('^[[]?(none|172.20.0.1|172.20.0.10|none)[]]?:')",
    );
  expect(JSON.stringify(filter)).toContain('lazyscope-node.lazyscope-system.svc.mesh.example');
  expect(JSON.stringify(filter)).toContain('spiffe://trust.example/');
  expect(JSON.stringify(filter)).not.toContain('FILLED');
});

test('the range of Services and the plain addresses may be IPv6', () => {
  const filter = rendered({ serviceCidr: 'fd00:10:96::/112', plainAddresses: 'fd00:10:96::1' });
  expect(filter.metadata.annotations).toMatchObject({
    'lazyscope.io/service-cidr': 'fd00:10:96::/112,none/0',
    'lazyscope.io/plain-addresses': 'fd00:10:96::1',
  });
  const found = inlineStrings(filter);
  expect(found.filter((text) => text.includes('WITHOUT_PORT(112)'))).toHaveLength(3);
  const choice =
    "== b'fd00:10:96::/112' || filter_state['lazyscope.second-network'] == b'none/0') && !destination.address.matches('^[[]?(none|fd00:10:96::1|none)[]]?:')";
  expect(found.filter((text) => text.includes(choice))).toHaveLength(3);
});

test('nothing in it is Wasm, and only outbound sidecar traffic is changed', () => {
  const filter = rendered();
  expect(JSON.stringify(filter)).not.toMatch(/wasm/i);
  for (const { match } of filter.spec.configPatches) expect(match.context).toBe('SIDECAR_OUTBOUND');
});

test('it names no cluster of the filter, because a namespace has both while it changes its source', () => {
  const added: Manifest[] = rendered().spec.configPatches.filter(
    ({ applyTo, patch }: Manifest) => applyTo === 'CLUSTER' && patch.operation === 'ADD',
  );
  const names = added.map(({ patch }) => patch.value.name);
  expect(names).toEqual(['lazyscope-nowhere', 'lazyscope-unknown', 'lazyscope-access-log']);
});

test('every part that it adds to a proxy is known as one of Lazyscope', () => {
  const added: Manifest[] = rendered()
    .spec.configPatches.filter(({ patch }: Manifest) => /ADD|INSERT/.test(patch.operation))
    .map(({ patch }: Manifest) => patch.value);
  expect(added.filter((value) => !isOwn(value as never)).map(({ name }) => name)).toEqual([]);
});

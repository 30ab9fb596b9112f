import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { copyOfManifests, edit } from '../unit/manifests/copy.ts';
import { type Manifest, render, repository } from '../unit/manifests/render.ts';
import { type Charts, openCharts, sorted, type Values } from './helm.ts';

let charts: Charts;

beforeAll(async () => {
  charts = await openCharts();
});
afterAll(() => charts.close());

const filter = join(repository, 'build', 'filter.wasm');
const filterSha256 = createHash('sha256').update(readFileSync(filter)).digest('hex');

const setting = (name: string, value: string) => (folder: string) =>
  edit(join(folder, 'namespace/settings.env'), (text) =>
    text.replace(new RegExp(`^${name}=.*$`, 'm'), `${name}=${value}`),
  );
const component = (name: string) => (folder: string) =>
  appendFileSync(join(folder, 'example/kustomization.yaml'), `  - ../components/${name}\n`);
const plugins = (from: string, to: string) => (folder: string) =>
  edit(join(folder, 'namespace/wasmplugins.yaml'), (text) => text.replaceAll(from, to));

type Edit = (folder: string) => void;

const accessLogSettings: Edit[] = [
  (folder) =>
    edit(join(folder, 'namespace-access-log/settings.env'), (text) =>
      text
        .replace(/^serviceCidr=.*$/m, 'serviceCidr=172.20.0.0/14')
        .replace(/^secondServiceCidr=.*$/m, 'secondServiceCidr=fd00:20::/108')
        .replace(/^plainAddresses=.*$/m, 'plainAddresses=172.20.0.1|172.20.0.10'),
    ),
];

const wishes: [string, Values, Edit[]][] = [
  ['nothing', {}, []],
  [
    'another filter and other domains',
    {
      filterSha256: '0'.repeat(64),
      mesh: { clusterDomain: 'corp.example', trustDomain: 'td.example' },
    },
    [
      setting('filterSha256', '0'.repeat(64)),
      setting('clusterDomain', 'corp.example'),
      setting('trustDomain', 'td.example'),
    ],
  ],
  [
    'a mesh that is STRICT throughout',
    { filter: { fallback: 'direct', directCidrs: ['10.0.0.0/8', 'fd00::/8'] } },
    [
      plugins(
        '    fallback: passthrough\n',
        '    fallback: direct\n    directCidrs: [10.0.0.0/8, fd00::/8]\n',
      ),
    ],
  ],
  [
    'other intervals',
    { filter: { flushSeconds: 7, holdSeconds: 3 } },
    [plugins('flushSeconds: 5', 'flushSeconds: 7'), plugins('holdSeconds: 2', 'holdSeconds: 3')],
  ],
  ['on-restart', { onRestart: { enabled: true } }, [component('on-restart')]],
  ['allocator', { allocator: { enabled: true } }, [component('allocator')]],
  [
    'the access log, beside the filter',
    {
      accessLog: {
        enabled: true,
        serviceCidr: '172.20.0.0/14',
        secondServiceCidr: 'fd00:20::/108',
        plainAddresses: ['172.20.0.1', '172.20.0.10'],
      },
    },
    [component('../namespace-access-log'), ...accessLogSettings],
  ],
  [
    'the access log alone',
    {
      filter: { enabled: false },
      accessLog: {
        enabled: true,
        serviceCidr: '172.20.0.0/14',
        secondServiceCidr: 'fd00:20::/108',
        plainAddresses: ['172.20.0.1', '172.20.0.10'],
      },
    },
    [
      (folder) =>
        edit(join(folder, 'example/kustomization.yaml'), (text) =>
          text.replace('../namespace', '../namespace-access-log'),
        ),
      ...accessLogSettings,
    ],
  ],
  [
    'a former trust domain, beside the other components',
    {
      mesh: { trustDomainAlias: 'former.corp' },
      onRestart: { enabled: true },
      allocator: { enabled: true },
    },
    [
      component('trust-domain-alias'),
      component('on-restart'),
      component('allocator'),
      (folder) =>
        edit(join(folder, 'components/trust-domain-alias/alias.env'), (text) =>
          text.replace('former.example', 'former.corp'),
        ),
    ],
  ],
];

/** The objects that kustomize renders for the namespace `shop`. */
function kustomized(edits: readonly Edit[]): Manifest[] {
  const folder = copyOfManifests();
  setting('filterSha256', filterSha256)(folder);
  edit(join(folder, 'example/namespace.yaml'), (text) => text.replace('my-namespace', 'shop'));
  for (const each of edits) each(folder);
  return sorted(render(join(folder, 'example')).filter(({ kind }) => kind !== 'Namespace'));
}

describe('the chart renders the objects of kustomize', () => {
  test.each(wishes)('%s', async (_, values, edits) => {
    const rendered = await charts.template('lazyscope-namespace', 'shop', values);
    expect(rendered).toEqual(kustomized(edits));
  });
});

test.each<[string, Values, string]>([
  ['an unknown value', { mode: 'enforce' }, 'mode'],
  ['a digest that is none', { filterSha256: 'latest' }, 'filterSha256'],
  ['an unknown fallback', { filter: { fallback: 'gateway' } }, 'fallback'],
  ['an address without a range', { filter: { directCidrs: ['10.0.0.1'] } }, 'directCidrs'],
])('the chart refuses %s, and names it', async (_, values, named) => {
  expect(await charts.refusal('lazyscope-namespace', 'shop', values)).toContain(named);
});

test('the chart has the same default ranges of Services as kustomize', async () => {
  const rendered = await charts.template('lazyscope-namespace', 'shop', {
    accessLog: { enabled: true },
  });
  expect(rendered).toEqual(kustomized([component('../namespace-access-log')]));
});

test('the notes say the next step', async () => {
  const args = ['install', 'any', '--dry-run=client', '-n', 'shop'];
  const text = await charts.helm4([...args, join(charts.folder, 'lazyscope-namespace')]);
  expect(text).toContain('kubectl label namespace shop lazyscope.io/mode=observe');
});

describe.each(['lazyscope', 'lazyscope-namespace'])('the chart %s', (name) => {
  test('passes the linter', async () => {
    const chart = join(charts.folder, name);
    await charts.helm(['lint', '--strict', '--namespace', 'lazyscope-system', chart]);
  });

  test('is packaged to the same bytes each time', async () => {
    const bytes = async (copy: string) => {
      const target = join(charts.folder, copy);
      const env = { ...process.env, SOURCE_DATE_EPOCH: '1700000000' };
      await charts.helm4(['package', join(charts.folder, name), '-d', target], env);
      return readFileSync(join(target, `${name}-${version}.tgz`));
    };
    expect((await bytes('first')).equals(await bytes('second'))).toBe(true);
  });
});

const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Diagnosis } from '../../../command/doctor/check.ts';
import { CommandError } from '../../../command/frame/failure.ts';
import { KubeError, type KubeObject, type Resource } from '../../../companion/kube/object.ts';
import { recorded } from '../../recorded/istiod-metrics.ts';
import { istio, pod, service } from '../companion/core/objects.ts';
import { hardwareCases } from './doctor/hardware-cases.ts';
import { metricCases, settingCases } from './doctor/istiod-cases.ts';
import {
  companionCases,
  deepCases,
  filterCases,
  providerCases,
  resourceCases,
  stateCases,
} from './doctor/object-cases.ts';
import { meshCases } from './doctor/real-control-planes.ts';
import { objectCases } from './doctor/real-objects.ts';
import { recordedCases } from './doctor/recorded-cases.ts';
import { sidecarCases, usageCases } from './doctor/sidecar-cases.ts';
import { type Case, istiodOf, meshOf, type Situation } from './doctor/situation.ts';
import { tlsCases } from './doctor/tls-cases.ts';
import { commandLine, objectCluster } from './host.ts';
import { learned, scope } from './objects.ts';

const selectors = (value: string): Situation => ({
  mesh: { discoverySelectors: [{ matchLabels: { mesh: value } }] },
});
const policy = (mode: string): Situation => ({ mesh: { outboundTrafficPolicy: { mode } } });
const range = (address: string) =>
  istio('ServiceEntry', 'shop/range', {
    hosts: ['range.example'],
    addresses: [address],
    ports: [{ number: 80, name: 'tcp', protocol: 'TCP' }],
    resolution: 'NONE',
  });
const pinned = (pin: string) => scope('shop/cart', { spec: { pins: [pin] } });
const many = (count: number) =>
  scope('shop/cart', { hosts: Array.from({ length: count }, (_, i) => learned(`shop/h-${i}`)) });
const eager = (count: number) =>
  scope('shop/cart', {
    hosts: Array.from({ length: 20 }, (_, i) => ({
      host: `shop/h-${i}.example`,
      reason: i < count ? 'eager' : 'learned',
    })),
  });
const withCondition = (status: string) => {
  const object = scope('shop/cart');
  object.status.conditions.push({
    type: 'WithdrawalPending',
    status,
    reason: 'Deaf',
    message: 'x',
  });
  return object;
};
const since = (learningSince: string) => {
  const object = scope('shop/cart');
  return { ...object, status: { ...object.status, learningSince } };
};

/** Checks of objects, each with the object that makes its condition true, and the nearest. */
const scopeCases: [string, KubeObject, KubeObject][] = [
  ['catch-all-range', range('0.0.0.0/0'), range('10.0.0.0/8')],
  [
    'pin-of-nothing',
    pinned('shop/crat.shop.svc.cluster.local'),
    pinned('shop/cart.shop.svc.cluster.local'),
  ],
  ['wildcard-pin', pinned('shop/*'), pinned('shop/cart.shop.svc.cluster.local')],
  ['many-destinations', many(1_601), many(1_600)],
  [
    'not-narrowed',
    scope('shop/cart', { mode: 'enforce', scoped: 'ForeignSidecar', ready: 'ForeignSidecar' }),
    scope('shop/cart', { mode: 'enforce', scoped: 'Learning', ready: 'Learning' }),
  ],
  ['withdrawal-pending', withCondition('True'), withCondition('False')],
  ['observed-long', since('2026-11-21T11:00:00Z'), since('2026-11-22T12:00:00Z')],
  ['mostly-eager', eager(11), eager(10)],
];

const table: Case[] = [
  ...[...settingCases, ...metricCases, ...stateCases, ...filterCases, ...companionCases],
  ...[...providerCases, ...resourceCases, ...tlsCases, ...deepCases],
  ...[...sidecarCases, ...usageCases, ...hardwareCases],
  ['system-hidden', selectors('out'), selectors('in')],
  ['dynamic-dns', policy('ALLOW_ANY_DYNAMIC_DNS'), policy('ALLOW_ANY')],
  ...scopeCases.map(([id, there, not]): Case => [id, { objects: [there] }, { objects: [not] }]),
];

async function doctor(situation: Situation, options = '') {
  const deep = situation.dumps ? '--deep 1 ' : '';
  const line = `doctor -o json ${deep}${options}`.trim();
  const { code, out, err } = await commandLine(line, meshOf(situation));
  return { code, err, findings: (JSON.parse(out) as { findings: Diagnosis[] }).findings };
}

test('no check cries on a healthy mesh', async () => {
  expect(await doctor({})).toEqual({ code: 0, err: '', findings: [] });
});

test.each(table)(
  '%s cries where its condition holds, and is silent beside it',
  async (id, there, not) => {
    const { findings } = await doctor(there);
    const found = findings.find((each) => each.id === id);
    expect(found, findings.map((each) => each.id).join()).toMatchObject({
      subject: expect.stringMatching(/^[A-Z]\w+ \S+$/),
      sentence: expect.stringMatching(/\S/),
      evidence: expect.stringMatching(/^(kubectl|istioctl|lazyscope) /),
      remedy: expect.stringMatching(/\S/),
    });
    expect((await doctor(not)).findings.map((each) => each.id)).not.toContain(id);
  },
);

/** A check may have several rows. */
const idsOfTable = [...new Set(table.map(([id]) => id))].sort();

test('every check is in the table above, and has a page of its severity', async () => {
  const { out } = await commandLine('doctor --list -o json', objectCluster([]));
  const listed = JSON.parse(out) as { id: string; severity: string; title: string; page: string }[];
  expect(listed.map(({ id }) => id).sort()).toEqual(idsOfTable);
  const root = join(import.meta.dirname, '../../..');
  for (const { id, severity, page } of listed)
    expect(readFileSync(join(root, page), 'utf8')).toContain(`\`${id}\`, ${severity}\n`);
  expect(readdirSync(join(root, 'docs/checks')).length).toBe(listed.length);
});

test.each([...recordedCases])(
  '%s cries in the recording of a real istiod in which its condition is true',
  async (id, { words, ...situation }) => {
    const { findings } = await doctor(situation);
    const sentences = findings.filter((each) => each.id === id).map(({ sentence }) => sentence);
    expect(sentences).toEqual([expect.stringContaining(words)]);
  },
);

test('durations and rates of the start of an istiod are not judged, unless by a window', async () => {
  const { findings, err } = await doctor({ istiodText: recorded('slow') });
  expect(findings).toEqual([]);
  expect(err).toMatch(/istiod-0 started \d minutes? ago: durations and rates of its start/);
});

test('every check is proven on objects of a real API server, on recorded metrics or on a dump', () => {
  const others = [...usageCases, ...deepCases].map(([id]) => id);
  const proven = [...objectCases.keys(), ...meshCases.keys(), ...recordedCases.keys(), ...others];
  expect(proven.sort()).toEqual(idsOfTable);
});

const withdrawn: Situation = { objects: [withCondition('True')] };

test('a finding as bad as asked for ends with the code of a finding', async () => {
  const warning = { env: { ISTIO_DELTA_XDS: 'false' } };
  expect((await doctor(warning)).code).toBe(0);
  expect((await doctor(warning, '--fail-on warning')).code).toBe(79);
  expect((await doctor(withdrawn)).code).toBe(79);
});

test('only the checks that are asked for run', async () => {
  const cluster = meshOf({ ...withdrawn, env: { ISTIO_DELTA_XDS: 'false' } });
  const { out } = await commandLine('doctor --only istiod-delta', cluster);
  expect(out).toContain('istiod-delta: ISTIO_DELTA_XDS is false');
  expect(out).toMatch(/\n1 check, 1 finding\.\n$/);
  const { code, err } = await commandLine('doctor --only nothing', cluster);
  expect([code, err]).toEqual([64, expect.stringContaining('nothing: no such check')]);
});

test('pipelines get SARIF and JUnit, with every check and the findings', async () => {
  const cluster = meshOf({ ...withdrawn, env: { ISTIO_DELTA_XDS: 'false' } });
  const only = '--only istiod-delta,withdrawal-pending,istiod-cache';
  const sarif = JSON.parse((await commandLine(`doctor -o sarif ${only}`, cluster)).out);
  const [{ tool, results }] = sarif.runs;
  expect(sarif.version).toBe('2.1.0');
  expect(tool.driver.rules).toHaveLength(3);
  for (const { ruleId, ruleIndex, locations } of results) {
    expect(tool.driver.rules[ruleIndex].id).toBe(ruleId);
    expect(locations[0].logicalLocations[0].fullyQualifiedName).toMatch(/^\w+ \S+$/);
  }
  expect(results.map((each: { level: string }) => each.level)).toEqual(['error', 'warning']);
  const { out, code } = await commandLine(`doctor -o junit ${only}`, cluster);
  expect(code).toBe(79);
  expect(out).toContain('<testsuite name="lazyscope doctor" tests="3" failures="1">');
  expect(out).toContain('name="istiod-cache"/>');
  expect(out).toMatch(/name="istiod-delta"><system-out>.*\n?.*remedy/);
  expect(out).toMatch(/name="withdrawal-pending"><failure message="[^"<]+">/);
  const refused = await commandLine('status -A -o sarif', cluster);
  expect(refused).toMatchObject({ code: 64, err: expect.stringContaining('-o sarif') });
});

test('an istiod that cannot be asked is named, and the other checks go on', async () => {
  const other = pod('istio-system/istiod-2', { labels: { app: 'istiod' } });
  const situation = { env: { ISTIO_DELTA_XDS: 'false' }, objects: [other] };
  const { err, findings } = await doctor(situation);
  expect(err).toContain('istio-system/istiod-2:15014/metrics: nothing answers: left out');
  expect(findings.map(({ id }) => id)).toContain('istiod-delta');
});

test('a mesh without the kinds of Lazyscope and of the Gateway API is examined, too', async () => {
  const foreign = objectCluster([
    service('shop/cart', { ip: '10.96.0.2' }),
    istiodOf({ env: { ISTIO_DELTA_XDS: 'false' } }),
  ]);
  const missing = Object.assign(new CommandError('no such kind', 'install it'), {
    cause: new KubeError(404, 'no such kind'),
  });
  const cluster = {
    ...foreign,
    list: (resource: Resource) =>
      /lazyscope|gateway|metrics|autoscaling|telemetry/.test(resource.group)
        ? Promise.reject(missing)
        : foreign.list(resource),
  };
  const { out } = await commandLine('doctor', cluster);
  expect(out).toContain('WARNING  Deployment istio-system/istiod istiod-delta');
  const lacking = { ...foreign, list: () => Promise.reject(missing) };
  expect(await commandLine('doctor', lacking)).toMatchObject({
    code: 1,
    err: expect.stringContaining('no such kind'),
  });
});

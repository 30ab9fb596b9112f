import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFleet, deleteNamespaces, importedHosts } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { namespaceObject, workload } from '../../../box/shop.ts';
import { sumOf } from '../companion-metrics.ts';

const mesh = openMesh();
const namespace = 'hostile';
const bare = 'hostile-bare';
const node = 'http://lazyscope-node.lazyscope-system.svc:9470';
let stranger: PodRef;
let insider: PodRef;
let victim: PodRef;

beforeAll(async () => {
  await mesh.apply([namespaceObject(bare, false), ...workload(bare, 'stranger')]);
  await mesh.rollout(bare);
  await createFleet(mesh, { namespace, clients: ['insider', 'victim'], targets: 1 });
  stranger = { ...(await mesh.pod(bare, 'app=stranger')), container: 'app' };
  // This process runs beside its own sidecar, as the proxy's user: Istio does not redirect its
  // calls.
  insider = { ...(await mesh.pod(namespace, 'app=insider')), container: 'istio-proxy' };
  victim = await mesh.pod(namespace, 'app=victim');
});

afterAll(() => deleteNamespaces(mesh, namespace, bare));

/** Runs curl and counts the statuses. */
async function curl(from: PodRef, args: string[], input = ''): Promise<Map<string, number>> {
  const all = ['curl', '-sS', '--max-time', '60', '-w', '%{http_code}\\n', ...args];
  const { stdout } = await mesh.exec(from, all, input);
  const counts = new Map<string, number>();
  for (const line of stdout.split('\n').filter((text) => /^\d{3}$/.test(text)))
    counts.set(line, (counts.get(line) ?? 0) + 1);
  return counts;
}

const statuses = async (...args: Parameters<typeof curl>) =>
  Object.fromEntries(await curl(...args));

const question = (authority: string, destination = '10.96.0.1:80') => [
  ...['-H', 'x-lazyscope-call: http', '-H', `x-lazyscope-authority: ${authority}`],
  ...['-H', `x-lazyscope-destination: ${destination}`],
];
const binary = ['-H', 'content-type: application/octet-stream'];

test('a pod that is not enabled is refused, even if it claims to be another', async () => {
  const { status } = await mesh.get(['pod', victim.name, '-n', namespace]);
  const forged = ['x-forwarded-for', 'x-real-ip', 'forwarded'].flatMap((name) => [
    '-H',
    `${name}: ${status.podIP}`,
  ]);
  expect(await statuses(stranger, [...question('target-0'), `${node}/v1/resolve`])).toEqual({
    403: 1,
  });
  expect(
    await statuses(stranger, [...forged, ...question('target-0'), `${node}/v1/resolve`]),
  ).toEqual({ 403: 1 });
  expect(
    await statuses(stranger, [...forged, ...binary, '--data', 'LZSR', `${node}/v1/report`]),
  ).toEqual({ 403: 1 });
});

test('garbage and a megabyte of garbage are refused, and the companion stays up', async () => {
  const garbage = await statuses(
    insider,
    [...binary, '--data-binary', '@-', `${node}/v1/report`],
    'x'.repeat(500),
  );
  expect(garbage).toEqual({ 400: 1 });
  const megabyte = await statuses(
    insider,
    [...binary, '-H', 'expect:', '--data-binary', '@-', `${node}/v1/report`],
    'x'.repeat(1024 * 1024),
  );
  expect(Object.keys(megabyte)).not.toContain('204');
  expect(await statuses(insider, [...question('x'.repeat(5000)), `${node}/v1/resolve`])).toEqual({
    400: 1,
  });
  expect(await statuses(insider, ['-H', 'x-lazyscope-call: teapot', `${node}/v1/resolve`])).toEqual(
    { 400: 1 },
  );
});

test('10,000 distinct authorities of one pod are bounded and counted, and no other pod learns them', async () => {
  const before = await importedHosts(mesh, namespace, 'victim');
  const questions = Array.from({ length: 10_000 }, (_, i) =>
    [
      `url = "${node}/v1/resolve"`,
      'header = "x-lazyscope-call: http"',
      `header = "x-lazyscope-authority: host-${i}.example.com"`,
      'header = "x-lazyscope-destination: 192.0.2.1:80"',
      'output = /dev/null',
      'silent',
      'write-out = "%{http_code}\\n"',
      'next',
    ].join('\n'),
  );
  const startedAt = Date.now();
  const answered = await curl(insider, ['-K', '-'], questions.join('\n'));
  const seconds = (Date.now() - startedAt) / 1000;
  const limited = await metric('lazyscope_node_limited_total');
  expect(answered.get('200') ?? 0).toBeGreaterThan(0);
  // A burst and a rate (companion/node/admit.ts). A slow machine may ask too slowly to be limited.
  const most = 1_000 + 200 * seconds;
  expect(answered.get('200') ?? 0).toBeLessThanOrEqual(most);
  expect(answered.get('429') ?? 0).toBeGreaterThanOrEqual(questions.length - most);
  expect(limited).toBeGreaterThanOrEqual(answered.get('429') ?? 0);
  expect(await importedHosts(mesh, namespace, 'victim')).toEqual(before);
  const imported = await importedHosts(mesh, namespace, 'insider');
  expect(imported.filter((host) => host.includes('example.com'))).toEqual([]);
});

test('after all of these attacks no part of the product has restarted', async () => {
  const { items } = await mesh.get(['pods', '-n', 'lazyscope-system']);
  const restarts = items.map(
    (pod: {
      metadata: { name: string };
      status: { containerStatuses: { restartCount: number }[] };
    }) => ({
      pod: pod.metadata.name,
      restarts: pod.status.containerStatuses[0]?.restartCount,
    }),
  );
  expect(restarts.filter((each: { restarts: number }) => each.restarts > 0)).toEqual([]);
});

/** A metric of the node companions, summed over labels and nodes. */
async function metric(name: string): Promise<number> {
  const { items } = await mesh.get([
    'pods',
    '-n',
    'lazyscope-system',
    '-l',
    'app.kubernetes.io/name=lazyscope-node',
  ]);
  let sum = 0;
  for (const { status } of items) {
    const text = await mesh.execOk(stranger, [
      'curl',
      '-sS',
      `http://${status.podIP}:9472/metrics`,
    ]);
    sum += sumOf(text, name);
  }
  return sum;
}

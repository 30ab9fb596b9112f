import { expect, test } from 'vitest';
import { openMesh } from '../../box/mesh.ts';
import { repoDir } from '../../box/paths.ts';
import { runResult } from '../../box/run.ts';

const mesh = openMesh();
const command = (...args: string[]) =>
  runResult('npm', ['run', '-s', 'mesh', '--', ...args], { cwd: repoDir });

test('kubectl and istioctl are passed their arguments, input and exit code', async () => {
  expect((await command('kubectl', 'get', 'nodes', '-o', 'name')).stdout).toBe(
    'node/node-1\nnode/node-2\n',
  );
  expect((await command('istioctl', 'version', '--short')).stdout).toContain('1.32.0');
  expect((await command('kubectl', 'get', 'pod', 'no-such-pod')).code).toBe(1);
});

test('the command of the product reaches the cluster, with its arguments and exit code', async () => {
  const { code, stdout } = await command('lazyscope', 'doctor', '-o', 'json');
  expect({ code, ...JSON.parse(stdout) }).toMatchObject({ code: 0, checks: expect.any(Number) });
  expect((await command('lazyscope', 'no-such-verb')).code).toBe(64);
});

test('status lists the nodes, the pods and what each sidecar carries', async () => {
  const { stdout, code } = await command('status');
  expect(code).toBe(0);
  expect(stdout).toMatch(/node-2 +Ready/);
  expect(stdout).toMatch(/istio-system +istiod-\S+ +1\/1 +Running/);
  expect(stdout).toMatch(/istio-system\/istio-ingressgateway-\S+ +[\d.]+ MB +\d+/);
});

test('admin prints the answer of a pod’s Envoy', async () => {
  const gateway = await mesh.pod('istio-system', 'app=istio-ingressgateway');
  const { stdout } = await command('admin', `istio-system/${gateway.name}`, '/server_info');
  expect(JSON.parse(stdout)).toMatchObject({ state: 'LIVE' });
});

test('image makes an image of files that pods of every node can run', async () => {
  const { stdout } = await command('image', 'hello', '/bin/echo');
  const image = stdout.trim();
  for (const node of ['node-1', 'node-2']) {
    const spec = {
      nodeName: node,
      restartPolicy: 'Never',
      containers: [{ name: 'c', image, args: [node] }],
    };
    const name = `hello-${node}`;
    await mesh.apply([
      { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default' }, spec },
    ]);
    const phase = '--for=jsonpath={.status.phase}=Succeeded';
    await mesh.kubectl(['wait', '-n', 'default', `pod/${name}`, phase, '--timeout=30s']);
    expect(await mesh.kubectl(['logs', '-n', 'default', name])).toBe(`${node}\n`);
    await mesh.kubectl(['delete', '-n', 'default', 'pod', name, '--wait=false']);
  }
});

test('a second mesh is refused with the way to end the first', async () => {
  const { code, stderr } = await command('up');
  expect(code).toBe(1);
  expect(stderr).toContain('a mesh is up already: end it with');
});

test.each([
  [['nonsense'], "no command 'nonsense'"],
  [['admin', 'no-slash', '/memory'], "'no-slash': name the pod as NAMESPACE/POD"],
  [['up', '--nodes', '77'], '--nodes 77: give a whole number from 1 to 9'],
  [['up', '--enforce', 'shop'], '--enforce shop needs --product'],
  [['enable', 'shop', 'on'], "'on': give one mode of observe, enforce, off"],
  [['enable', 'shop', 'observe'], 'the product is not in this mesh: start one with `up --product`'],
  [['up', '--services', 'many'], '--services many: give a whole number'],
])('a wrong command line (%j) is refused with the error', async (args, message) => {
  const { code, stderr } = await command(...args);
  expect(code).not.toBe(0);
  expect(stderr).toContain(message);
});

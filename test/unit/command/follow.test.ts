import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { CommandError } from '../../../command/frame/failure.ts';
import { KubeError } from '../../../companion/kube/object.ts';
import { commandLine, objectCluster } from './host.ts';
import { shopObjects } from './shop.ts';

const cart = 'outbound|80||cart.shop.svc.cluster.local';
const line = (cluster = cart) =>
  `[2026-11-27T10:00:00.123Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 12 3 2 "-" "curl" "id-1" "cart" "10.244.0.2:8080" ${cluster} 10.244.0.1:4000 10.96.0.2:80 10.244.0.1:5000 - default\n`;

/** Pods that run a sidecar, as the API server shows them. */
const objects = shopObjects()
  .filter(({ kind }) => kind !== 'WorkloadScope')
  .map((object) =>
    object.kind === 'Pod'
      ? {
          ...object,
          spec: { ...object.spec, containers: [{ name: 'app' }, { name: 'istio-proxy' }] },
          status: { ...object.status, phase: 'Running' },
        }
      : object,
  );

function followed() {
  const logs = new Map<string, PassThrough>();
  const cluster = {
    ...objectCluster(objects, { namespace: 'shop' }),
    followLog: async ({ name }: { name: string }, until: AbortSignal) => {
      const log = new PassThrough();
      until.addEventListener('abort', () => log.destroy(new Error('aborted')));
      logs.set(name, log);
      return log;
    },
  };
  return { logs, cluster };
}

test('the logs of all sidecars are followed until Ctrl-C, and then recommended from', async () => {
  const { logs, cluster } = followed();
  let interrupt = () => {};
  const interrupted = () =>
    new Promise<void>((resolve) => {
      interrupt = resolve;
    });
  const running = commandLine('recommend --follow -n shop', cluster, undefined, { interrupted });
  await expect.poll(() => [...logs.keys()].length).toBe(3);
  const web = [...logs].find(([name]) => name.startsWith('web'))?.[1];
  web?.write(line());
  web?.write(line().slice(0, 50));
  web?.write(line().slice(50));
  await expect.poll(() => web?.readableLength).toBe(0);
  interrupt();
  const { code, out, err } = await running;
  expect(err).toContain('following 3 sidecars\n');
  expect(err).toContain('read 2 lines: 2 calls to hosts of the mesh');
  expect(code).toBe(0);
  expect(out).toContain('name: web');
  expect(out).toContain('cart.shop.svc.cluster.local');
});

test('it ends by itself after the time of --for', async () => {
  const { logs, cluster } = followed();
  const interrupted = () => new Promise<void>(() => {});
  const running = commandLine('recommend --follow --for 1s -n shop', cluster, undefined, {
    interrupted,
  });
  await expect.poll(() => logs.size).toBe(3);
  for (const log of logs.values()) log.write(line());
  expect((await running).code).toBe(0);
});

test('a right that is missing ends it at once, with the remedy', async () => {
  const refused = Object.assign(
    new CommandError('you lack the right to get pods/log (403)', 'ask for it'),
    { cause: new KubeError(403, 'forbidden') },
  );
  const cluster = {
    ...objectCluster(objects, { namespace: 'shop' }),
    followLog: () => Promise.reject(refused),
  };
  const interrupted = () => new Promise<void>(() => {});
  const { code, err } = await commandLine(
    'recommend --follow --for 1s -n shop',
    cluster,
    undefined,
    { interrupted },
  );
  expect(code).not.toBe(0);
  expect(err).toContain('you lack the right to get pods/log');
});

test.each([
  ['recommend --for 1h -n shop', '--for without --follow'],
  ['recommend --follow --for soon -n shop', '--for soon: no duration'],
  ['recommend --follow web.log -n shop', '--follow reads no files'],
])('%s is refused: %s', async (command, reason) => {
  const { code, err } = await commandLine(command, objectCluster(objects));
  expect(code).toBe(64);
  expect(err).toContain(reason);
});

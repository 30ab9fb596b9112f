import { type IncomingHttpHeaders, request } from 'node:http';
import { Registry } from 'prom-client';
import type { Certificate } from '../../../../box/played/fake-controller.ts';
import { log, namespaceObject, podObject } from '../../../../box/played/fixtures.ts';
import { nodeSettings } from '../../../../companion/frame/config.ts';
import { createLifecycle } from '../../../../companion/frame/lifecycle.ts';
import { readSettings } from '../../../../companion/frame/settings.ts';
import type { Kube, Resource, WatchHandler } from '../../../../companion/kube/object.ts';
import { startNode } from '../../../../companion/node/node.ts';

/** Source addresses of this machine that stand for pods. */
export const addresses = {
  cart: '127.0.0.11',
  shipping: '127.0.0.12',
  disabled: '127.0.0.13',
  stranger: '127.0.0.14',
};

export type Call = {
  from: string;
  method?: string;
  path?: string;
  headers?: Record<string, string | number>;
  body?: string | Buffer;
  signal?: AbortSignal;
};

/** The whole node role on the loopback interface. The test replaces only the API server. */
export async function runTestNode(
  certificate: Certificate,
  controllerPort: number,
  settings: Record<string, string> = {},
) {
  const env = {
    LAZYSCOPE_NODE_NAME: 'worker-1',
    LAZYSCOPE_PORT: '0',
    LAZYSCOPE_ACCESS_LOG_PORT: '0',
    LAZYSCOPE_CONTROLLER_SERVICE: '127.0.0.1',
    LAZYSCOPE_CONTROLLER_GRPC_PORT: String(controllerPort),
    LAZYSCOPE_CA_PATH: certificate.caPath,
    LAZYSCOPE_TOKEN_PATH: certificate.tokenPath,
    LAZYSCOPE_SCRAPE_SECONDS: '3600',
    ...settings,
  };
  const registry = new Registry();
  const lifecycle = createLifecycle({ log, deadlineMs: 5_000 });
  const debug = new Map<string, () => unknown>();
  const { kube, watches } = fakeKube();
  const config = readSettings(nodeSettings, env, []);
  const { port, accessLogPort } = await startNode(
    config,
    { log, lifecycle, registry, debug },
    kube,
  );
  const pods = watches.get('pods');
  watches.get('namespaces')?.upsert(namespaceObject('shop', 'observe'));
  pods?.upsert(podObject('cart', addresses.cart));
  pods?.upsert(podObject('shipping', addresses.shipping));
  pods?.upsert(
    podObject('disabled', addresses.disabled, {
      metadata: { name: 'disabled', namespace: 'other', uid: 'uid-disabled' },
    }),
  );

  async function metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const found = await registry.getSingleMetric(`lazyscope_node_${name}`)?.get();
    const samples = found?.values.filter((sample) =>
      Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    );
    return samples?.reduce((sum, { value }) => sum + value, 0) ?? 0;
  }

  return {
    port,
    accessLogPort,
    metric,
    lifecycle,
    debug,
    watches,
    call: (call: Call) => send(port, call),
    stop: () => lifecycle.stop('test'),
  };
}

export type TestNode = Awaited<ReturnType<typeof runTestNode>>;

function fakeKube(): { kube: Kube; watches: Map<string, WatchHandler> } {
  const watches = new Map<string, WatchHandler>();
  const unused = async () => {
    throw new Error('the node role only watches');
  };
  const kube: Kube = {
    watch(resource: Resource, handler: WatchHandler) {
      watches.set(resource.plural, handler);
      return { synced: Promise.resolve(), stop: () => undefined };
    },
    apply: unused,
    create: unused,
    replace: unused,
    get: unused,
    delete: unused,
    serves: unused,
    listMetadata: unused,
    tokenReview: unused,
    mayList: unused,
    close: () => undefined,
  };
  return { kube, watches };
}

export type Reply = { status: number; headers: IncomingHttpHeaders };

function send(port: number, call: Call): Promise<Reply> {
  const { from, method = 'GET', path = '/', headers = {}, body, signal } = call;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        localAddress: from,
        method,
        path,
        headers,
        agent: false,
        ...(signal && { signal }),
      },
      (response) => {
        response.resume();
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Waits until an asynchronous condition holds. */
export async function eventually<Value>(
  look: () => Value | undefined | false | Promise<Value | undefined | false>,
): Promise<Value> {
  for (let tries = 0; tries < 400; tries++) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('did not happen within 8 s');
}

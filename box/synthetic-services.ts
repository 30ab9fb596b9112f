import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { kubeconfigPath } from './paths.ts';

/** A program that runs inside the box's network: `synthetic-services.ts COUNT`. */
const perNamespace = 50;
/** Concurrent requests: more of them would only queue in an API server on two cores. */
const concurrency = 16;
/**
 * A busy API server answers 429 or 504; if it created the object anyway, the next answer is 409.
 */
const attempts = 5;
const pauseMs = 2_000;

const kubeconfig = JSON.parse(readFileSync(kubeconfigPath, 'utf8'));
const { server, 'certificate-authority-data': ca } = kubeconfig.clusters[0].cluster;
const agent = new Agent({
  keepAlive: true,
  maxSockets: concurrency,
  ca: Buffer.from(ca, 'base64'),
});
const headers = {
  authorization: `Bearer ${kubeconfig.users[0].user.token}`,
  'content-type': 'application/json',
};

type Creation = { path: string; object: object };

async function create(creation: Creation, attempt = 1): Promise<void> {
  const { status, body } = await post(creation);
  if (status === 409 || (status >= 200 && status < 300)) return;
  if (attempt === attempts || (status !== 429 && status < 500))
    throw new Error(`POST ${creation.path}: ${status} ${body.slice(0, 300)}`);
  await sleep(pauseMs);
  await create(creation, attempt + 1);
}

function post({ path, object }: Creation): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request(`${server}${path}`, { method: 'POST', agent, headers }, (response) => {
      let body = '';
      response.on('data', (chunk) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    call.on('error', reject);
    call.end(JSON.stringify(object));
  });
}

const ports = [
  { name: 'http', port: 8080 },
  { name: 'http-admin', port: 9080 },
];

function serviceOf(index: number): Creation[] {
  const namespace = `synthetic-${Math.floor(index / perNamespace)}`;
  const name = `service-${index}`;
  // kube-proxy ignores services with another proxy's name, so nothing answers at these addresses.
  const labels = { 'service.kubernetes.io/service-proxy-name': 'none' };
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, labels },
    spec: { ports },
  };
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, labels: { ...labels, 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: ports.map(({ name: port, port: number }) => ({ name: port, port: number })),
    endpoints: [100, 101].map((second) => ({
      addresses: [`10.${second}.${index >> 8}.${index & 255}`],
      conditions: { ready: true },
    })),
  };
  return [
    { path: `/api/v1/namespaces/${namespace}/services`, object: service },
    { path: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, object: slice },
  ];
}

async function createAll(creations: Creation[]): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let c = creations[next++]; c !== undefined; c = creations[next++]) await create(c);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}

const count = Number(process.argv[2]);
const namespaces = Array.from({ length: Math.ceil(count / perNamespace) }, (_, i) => ({
  path: '/api/v1/namespaces',
  object: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: `synthetic-${i}` } },
}));
await createAll(namespaces);
await createAll(Array.from({ length: count }, (_, index) => serviceOf(index)).flat());
agent.destroy();

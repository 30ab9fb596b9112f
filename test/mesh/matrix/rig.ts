import type { Mesh } from '../../../box/mesh.ts';
import { namespaceObject } from '../../../box/shop.ts';
import { callArguments } from './calls.ts';
import type { Case } from './cases.ts';
import { type Addresses, type Context, type Destination, portOf } from './destination.ts';
import { destinations } from './destinations.ts';
import { type BatchResult, type Outcome, outcomeOf } from './outcome.ts';
import { clientObjects, serverObjects } from './servers.ts';

/** A client is a workload with a first-call strategy, in a namespace with an outbound policy. */
export type Client = { namespace: string; name: 'gateway' | 'direct' | 'hold' | 'auto' };

export const allowAny = 'matrix-any';
export const registryOnly = 'matrix-registry';

export const clients: Client[] = [
  ...(['gateway', 'direct', 'hold', 'auto'] as const).map((name) => ({
    namespace: allowAny,
    name,
  })),
  ...(['gateway', 'auto'] as const).map((name) => ({ namespace: registryOnly, name })),
];

export const labelOf = ({ namespace, name }: Client) => `${namespace}/${name}`;

const rolloutSeconds = 400;

/** Calls of one client at a time. */
const callsAtOnce = 4;

const destinationOf = ({ to }: Case): Destination => destinations[to];

/** Creates all objects of the cases. Objects that need the addresses of others are created last. */
export async function createRig(mesh: Mesh, cases: Case[]): Promise<Addresses> {
  const names = [allowAny, registryOnly];
  await mesh.apply(names.map((name) => namespaceObject(name)));
  const objects = names.flatMap((namespace) => [
    ...serverObjects(namespace),
    ...cases.flatMap(
      (test) => destinationOf(test).objects?.({ namespace, test, addresses: unknown }) ?? [],
    ),
  ]);
  await mesh.apply([
    outboundPolicy(registryOnly),
    ...objects,
    ...clients.flatMap(({ namespace, name }) => [
      ...clientObjects(namespace, name),
      firstCallOf(namespace, name),
    ]),
  ]);
  // All sidecars start at once, with full configuration.
  for (const name of names) await mesh.rollout(name, rolloutSeconds);
  const addresses = await readAddresses(mesh, names);
  await mesh.apply(
    names.flatMap((namespace) =>
      cases.flatMap((test) => destinationOf(test).late?.({ namespace, test, addresses }) ?? []),
    ),
  );
  return addresses;
}

const unknown: Addresses = {
  clusterIp: () => {
    throw new Error('addresses are not known yet');
  },
  podIp: () => {
    throw new Error('addresses are not known yet');
  },
};

/** A default Sidecar that sets REGISTRY_ONLY for its namespace. */
function outboundPolicy(namespace: string): object {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 'default', namespace },
    spec: { egress: [{ hosts: ['*/*'] }], outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } },
  };
}

function firstCallOf(namespace: string, name: string): object {
  return {
    apiVersion: 'lazyscope.io/v1alpha1',
    kind: 'WorkloadScope',
    metadata: { name, namespace },
    spec: { firstCall: name },
  };
}

type Item = {
  metadata: { name: string; namespace: string; labels?: Record<string, string> };
  spec: { clusterIP?: string };
  status: { podIP?: string };
};

async function readAddresses(mesh: Mesh, namespaces: string[]): Promise<Addresses> {
  const found = new Map<string, string>();
  for (const namespace of namespaces) {
    const services: Item[] = (await mesh.get(['services', '-n', namespace])).items;
    for (const { metadata, spec } of services)
      found.set(`service ${namespace}/${metadata.name}`, spec.clusterIP ?? '');
    const pods: Item[] = (await mesh.get(['pods', '-n', namespace])).items;
    for (const { metadata, status } of pods)
      found.set(`pod ${namespace}/${metadata.labels?.app}`, status.podIP ?? '');
  }
  const get = (key: string) => {
    const address = found.get(key);
    if (!address) throw new Error(`${key} has no address`);
    return address;
  };
  return {
    clusterIp: (namespace, service) => get(`service ${namespace}/${service}`),
    podIp: (namespace, app) => get(`pod ${namespace}/${app}`),
  };
}

export type Results = { outcomes: Map<string, Outcome>; milliseconds: Map<string, number> };

/**
 * Makes the calls of the cases from one client. Returns outcomes and times by the name of the case.
 */
export async function runCases(
  mesh: Mesh,
  client: Client,
  cases: Case[],
  addresses: Addresses,
  atOnce = callsAtOnce,
): Promise<Results> {
  if (cases.length === 0) return { outcomes: new Map(), milliseconds: new Map() };
  const { namespace, name } = client;
  const pod = await mesh.pod(namespace, `app=${name}`);
  const commands = cases.map((test) => {
    const context: Context = { namespace, test, addresses };
    const destination = destinationOf(test);
    const port = destination.port?.(context) ?? portOf(test).port;
    return callArguments(test.call, destination.host(context), port, []);
  });
  const { stdout, stderr } = await mesh.exec(
    { ...pod, container: 'app' },
    ['meshapp', 'batch', String(atOnce)],
    JSON.stringify(commands),
  );
  if (stdout === '') throw new Error(`meshapp batch in ${pod.name}: ${stderr}`);
  const results = JSON.parse(stdout) as BatchResult[];
  const each = cases.map((test, i) => [test, results[i] as BatchResult] as const);
  return {
    outcomes: new Map(each.map(([test, result]) => [test.name, outcomeOf(result, test)])),
    milliseconds: new Map(each.map(([{ name }, result]) => [name, result.milliseconds])),
  };
}

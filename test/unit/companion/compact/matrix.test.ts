import { expect, test } from 'vitest';
import { clusterDomain } from '../../../../box/cluster/network-plan.ts';
import { meshView } from '../../../../companion/controller/nodes/mesh-view.ts';
import { createCompactCatalog } from '../../../../companion/core/compact/catalog.ts';
import { decode, encode } from '../../../../companion/core/compact/encode.ts';
import { recordsBesideHosts, recordsOfHost } from '../../../../companion/core/compact/make.ts';
import { keyOf } from '../../../../companion/core/compact/records.ts';
import { createArrivals } from '../../../../companion/core/first-call/arrivals.ts';
import { type Caller, decide } from '../../../../companion/core/first-call/decide.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { calls } from '../../../mesh/matrix/calls.ts';
import { type Case, readCases } from '../../../mesh/matrix/cases.ts';
import { type Addresses, type Destination, portOf } from '../../../mesh/matrix/destination.ts';
import { destinations } from '../../../mesh/matrix/destinations.ts';
import { allowAny, clients } from '../../../mesh/matrix/rig.ts';
import { serverObjects } from '../../../mesh/matrix/servers.ts';
import { app, pod } from '../core/objects.ts';

/** The objects of the matrix as a cluster would have them: with addresses, pods and endpoints. */

const namespace = allowAny;
const gatewayHost = `lazyscope-egress.lazyscope-system.svc.${clusterDomain}`;
const servers = ['strict', 'permissive', 'disable', 'bare', 'stateful'];
const podIp = (name: string) => `10.1.0.${servers.indexOf(name) + 1}`;
const clusterIps = new Map<string, string>();

function clusterIp(name: string): string {
  const known = clusterIps.get(name) ?? `10.96.${clusterIps.size >> 8}.${clusterIps.size & 255}`;
  clusterIps.set(name, known);
  return known;
}

const addresses: Addresses = {
  clusterIp: (_, name) => clusterIp(name),
  podIp: (_, name) => podIp(name === 'mixed' ? 'permissive' : name),
};

const serverPods = servers.map((name) =>
  pod(`${namespace}/${name}`, {
    ...{ ip: podIp(name), account: name, tlsMode: name === 'bare' ? '' : 'istio' },
    labels: {
      app: name,
      ...(['permissive', 'bare'].includes(name) && { mixed: 'yes' }),
      ...(['strict', 'bare'].includes(name) && { mixedStrict: 'yes' }),
    },
  }),
);

/** What the controllers of Kubernetes add to a Service. */
function withEndpoints(object: KubeObject): KubeObject[] {
  const { kind, metadata, spec = {} } = object;
  if (kind !== 'Service' || spec.type === 'ExternalName') return [object];
  const ip = spec.clusterIP === 'None' ? 'None' : clusterIp(metadata.name);
  const made = { ...object, spec: { ...spec, clusterIP: ip, clusterIPs: [ip] } };
  if (!spec.selector) return [made];
  const selected = serverPods.filter(({ metadata: { labels = {} } }) =>
    Object.entries(spec.selector).every(([key, value]) => labels[key] === value),
  );
  type Port = { name: string; targetPort: number };
  const slice: KubeObject = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      ...{ namespace, name: `${metadata.name}-x` },
      labels: { 'kubernetes.io/service-name': metadata.name },
    },
    ports: (spec.ports as Port[]).map(({ name, targetPort }) => ({ name, port: targetPort })),
    endpoints: selected.map(({ metadata: { name }, status }) => ({
      addresses: [status?.podIPs[0].ip],
      conditions: { ready: true },
      targetRef: { kind: 'Pod', namespace, name },
    })),
  };
  return [made, slice];
}

const cases = readCases().filter(({ isTwin }) => !isTwin);
const destinationOf = ({ to }: Case): Destination => destinations[to];

function catalogOfMatrix() {
  const catalog = createCatalog({ clusterDomain });
  const known = [
    'Service',
    'ServiceEntry',
    'VirtualService',
    'PeerAuthentication',
    'EndpointSlice',
  ];
  const objects = [
    ...app('lazyscope-system/lazyscope-egress', '10.97.0.1', '10.2.0.1'),
    ...serverPods,
    ...serverObjects(namespace),
    ...cases.flatMap((test) => {
      const { objects: own, late } = destinationOf(test);
      const context = { namespace, test, addresses };
      return [...(own?.(context) ?? []), ...(late?.(context) ?? [])];
    }),
  ] as KubeObject[];
  for (const object of objects.flatMap(withEndpoints))
    if (known.includes(object.kind) || object.kind === 'Pod') catalog.upsert(object);
  return catalog;
}

/** The call of a case as the filter asks about it. */
function callOf(test: Case) {
  const context = { namespace, test, addresses };
  const destination = destinationOf(test);
  const host = destination.host(context);
  const port = destination.port?.(context) ?? portOf(test).port;
  const isAddress = /^[\d.]+$/.test(host);
  const ip = isAddress ? host : (clusterIps.get(test.name) ?? podIp(test.on));
  const tcp = ['tcp', 'https'].includes(calls[test.call].scheme);
  return { tcp, authority: tcp ? '' : `${host}:${port}`, destination: `${ip}:${port}` };
}

test.each(clients.filter((each) => each.namespace === namespace))(
  'a node answers every call of the matrix by $name as a controller does, or asks',
  ({ name: firstCall }) => {
    const catalog = catalogOfMatrix();
    const names = { clusterDomain, trustDomain: clusterDomain, rootNamespace: 'istio-system' };
    const view = meshView({ catalog, arrivals: createArrivals() }, { ...names, gatewayHost }, 0);
    const source = { catalog, view, namespaces: [namespace] };
    const records = [...catalog.hosts.patterns()].flatMap((host) => recordsOfHost(source, host));
    const node = createCompactCatalog();
    for (const record of [...records, ...recordsBesideHosts(source)]) {
      const read = decode(encode(record) ?? '');
      if (read) node.set(keyOf(record), read);
    }
    const nodeView = node.view();
    if (!nodeView) throw new Error('no mesh');
    const caller: Caller = {
      ...{ namespace, labels: { app: firstCall }, network: '', firstCall },
      ...{ imports: true, isNarrowed: true, barrier: () => undefined, mayLearn: () => true },
    };
    const asked: string[] = [];
    for (const each of cases) {
      const call = callOf(each);
      const { resolution: wanted, ...expected } = decide(view, caller, call);
      const { resolution: found, ...actual } = decide(nodeView, caller, call);
      const { kind, record, ip } = found;
      const isAsked = kind === 'external' || (record && node.lacks(record, ip, call.tcp));
      if (isAsked) asked.push(each.name);
      else expect([each.name, actual, found.host]).toEqual([each.name, expected, wanted.host]);
    }
    // External hosts, addresses of pods, and pods that no endpoint names.
    expect(asked.length).toBeLessThan(cases.length / 5);
  },
);

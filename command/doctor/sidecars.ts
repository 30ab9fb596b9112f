import { counted } from '../../companion/core/mesh/counted.ts';
import { conditionIn } from '../../companion/core/scope/condition.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { proxyIn } from '../core/proxy-container.ts';
import { mebibytes, readQuantity } from '../core/quantity.ts';
import { compareVersions, versionIn } from '../mesh/istiod.ts';
import type { Check, Examined } from './check.ts';
import { privateKeyPods } from './tls.ts';

/** Whether sidecars can be narrowed, gain by it, and have what they need. */

type Container = {
  name: string;
  image?: string;
  resources?: { limits?: Record<string, string> };
};

const sidecarOf = ({ spec }: KubeObject) =>
  proxyIn<Container>(spec?.initContainers, spec?.containers);

/** The first release whose WasmPlugin can count TCP calls. */
const oldest = { major: 1, minor: 30, patch: 0 };

const tooOld: Check = {
  ...{ id: 'proxy-too-old', severity: 'warning' },
  title: 'a sidecar of an enabled namespace is older than Istio 1.30',
  find: ({ of, mesh: { state } }) =>
    of('Pod').flatMap((pod) => {
      const { namespace = '', name } = pod.metadata;
      const mode = state.namespaces.get(namespace)?.mode;
      const image = sidecarOf(pod)?.image;
      const version = versionIn(image);
      if ((mode !== 'observe' && mode !== 'enforce') || !version) return [];
      if (compareVersions(version, oldest) >= 0) return [];
      return {
        subject: `Pod ${namespace}/${name}`,
        sentence: `its sidecar is ${image}: before Istio 1.30 TCP calls are not counted`,
        remedy: `kubectl rollout restart deployment -n ${namespace}, after the upgrade of istiod`,
      };
    }),
};

const littleSaved: Check = {
  ...{ id: 'little-saved', severity: 'info' },
  title: 'a scope in force has more than half of the clusters of full configuration',
  find: ({ mesh: { state } }: Examined) =>
    [...state.namespaces.keys()].flatMap((namespace) =>
      [...state.scopes.in(namespace)].flatMap(({ name, status }) => {
        const { before = 0, after = 0 } = status?.clusters ?? {};
        const isScoped = conditionIn(status, 'Scoped')?.status === 'True';
        if (!isScoped || before === 0 || after * 2 <= before) return [];
        return {
          subject: `WorkloadScope ${namespace}/${name}`,
          sentence: `${counted(after, 'cluster')} of ${before} stay: it calls most of what it sees`,
          remedy: `lazyscope mode observe ${name} -n ${namespace}, which keeps the record and has no first calls`,
        };
      }),
    ),
};

/** Head-room of a limit over what is used; `advise resources` asks for 1.5 over the maximum. */
const headroom = 1.3;

const nearLimit: Check = {
  ...{ id: 'proxy-near-limit', severity: 'warning' },
  title: 'a sidecar uses nearly all of its memory limit',
  find({ of }) {
    const used = new Map(
      of('PodMetrics').map(({ metadata: { namespace, name }, ...rest }) => [
        `${namespace}/${name}`,
        (rest as { containers?: { name: string; usage?: { memory?: string } }[] }).containers?.find(
          (each) => each.name === 'istio-proxy',
        )?.usage?.memory,
      ]),
    );
    return of('Pod').flatMap((pod) => {
      const { namespace, name } = pod.metadata;
      const now = readQuantity(used.get(`${namespace}/${name}`));
      const limit = readQuantity(sidecarOf(pod)?.resources?.limits?.memory);
      if (now === undefined || limit === undefined || now * headroom <= limit) return [];
      return {
        subject: `Pod ${namespace}/${name}`,
        sentence: `its sidecar uses ${mebibytes(now)} of ${mebibytes(limit)}: at the limit it is killed, and all its connections are lost`,
        evidence: `kubectl top pod -n ${namespace} ${name} --containers`,
        remedy: `narrow its workload (lazyscope status -n ${namespace}), or raise sidecar.istio.io/proxyMemoryLimit`,
      };
    });
  },
};

/** Builds of the proxy with OpenSSL: those of OpenShift Service Mesh. */
const openSsl = /\/openshift-service-mesh[^/]*\//;

const openSslProvider: Check = {
  ...{ id: 'private-key-openssl', severity: 'critical' },
  title: 'a privateKeyProvider is set for a proxy that is built with OpenSSL',
  find: (examined) =>
    [...privateKeyPods(examined)].flatMap(({ pod, kind }) => {
      const { namespace, name } = pod.metadata;
      const image = sidecarOf(pod)?.image ?? '';
      if (!openSsl.test(image)) return [];
      return {
        subject: `Pod ${namespace}/${name}`,
        sentence: `${kind} is set, and ${image} is built with OpenSSL, which has no such extension: Envoy refuses its certificate`,
        remedy: 'remove privateKeyProvider for this pod, or use a proxy of Istio itself',
      };
    }),
};

const placeOf = ({ metadata }: KubeObject) => `${metadata.namespace} ${metadata.name}`;

type Entry = { hosts?: string[]; exportTo?: string[] };

const sameHost: Check = {
  ...{ id: 'host-in-namespaces', severity: 'info' },
  title: 'ServiceEntries of several namespaces show the same host to all',
  find({ of }) {
    const byHost = new Map<string, KubeObject[]>();
    for (const entry of of('ServiceEntry')) {
      const { hosts = [], exportTo = [] } = (entry.spec ?? {}) as Entry;
      if (exportTo.length > 0 && !exportTo.includes('*')) continue;
      for (const host of hosts) byHost.set(host, [...(byHost.get(host) ?? []), entry]);
    }
    return [...byHost].flatMap(([host, entries]) => {
      const namespaces = new Set(entries.map(({ metadata }) => metadata.namespace));
      // A list of the API server is in no order that is of use here.
      const [first] = entries.sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
      if (namespaces.size < 2 || !first) return [];
      const { namespace, name } = first.metadata;
      return {
        subject: `ServiceEntry ${namespace}/${name}`,
        sentence: `${host} is shown to all by namespaces ${[...namespaces].sort().join(', ')}: which of them a proxy elsewhere takes is not said`,
        remedy: `keep one, or set exportTo: ["."] on each: kubectl patch serviceentry -n ${namespace} ${name} --type merge -p '{"spec":{"exportTo":["."]}}'`,
      };
    });
  },
};

export const sidecarChecks: readonly Check[] = [
  ...[tooOld, littleSaved, nearLimit, openSslProvider, sameHost],
];

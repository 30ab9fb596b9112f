import { stringify } from 'yaml';
import { counted } from '../../companion/core/mesh/counted.ts';
import type { Workload } from '../../companion/core/scope/workload.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import type { Advice } from '../core/advice.ts';
import type { Ask } from '../core/istio-metrics.ts';
import { proxyIn } from '../core/proxy-container.ts';
import {
  capableLabel,
  configAnnotation,
  offloadLabel,
  providerIn,
  withProvider,
} from '../core/tls-offload.ts';
import type { Mesh } from '../mesh/read.ts';

/** Where cheaper TLS handshakes pay: first the type of the key, then hardware. */

export type TlsInput = {
  mesh: Mesh;
  pods: readonly KubeObject[];
  nodes: readonly KubeObject[];
  namespace: string | undefined;
  /** Handshakes a second by `namespace/pod`, the most in a window; undefined: not measured. */
  rates: ReadonlyMap<string, number> | undefined;
  /** The cluster has the policy of manifests/components/tls-offload. */
  hasPolicy: boolean;
};

/**
 * Envoy collects up to eight signatures for each worker, or waits for pollDelay, 2 ms. Below one
 * handshake in that time a batch has one signature, and each handshake only waits.
 */
const offloadFrom = 500;
/** Workers of a sidecar: Istio's default limit is two CPUs. */
const workersUsual = 2;
/** A signature of RSA 2048 takes a quarter of a ms or more: less than this is 0.3 % of a core. */
const ecdsaFrom = 10;

/**
 * Handshakes by Envoy's own counter, which Istio does not keep by default, and otherwise new TCP
 * connections under mutual TLS, which leave out those of HTTP.
 */
export async function readRates(
  ask: Ask,
  { rangeMs, matchers }: { rangeMs: number; matchers: string },
): Promise<ReadonlyMap<string, number>> {
  const range = `${Math.round(rangeMs / 1000)}s`;
  const most = (metric: string, ...labels: string[]) => {
    const selector = [...labels, ...(matchers === '' ? [] : [matchers])].join(',');
    const rate = `sum by (namespace, pod) (rate(${metric}{${selector}}[5m]))`;
    return ask(`max_over_time((${rate})[${range}:5m])`);
  };
  const tcp = ['reporter="destination"', 'connection_security_policy="mutual_tls"'];
  const samples = [
    ...(await most('istio_tcp_connections_opened_total', ...tcp)),
    ...(await most('envoy_listener_ssl_handshake')),
  ];
  const found = new Map<string, number>();
  for (const { metric, value } of samples) {
    const pod = `${metric.namespace}/${metric.pod}`;
    found.set(pod, Math.max(value, found.get(pod) ?? 0));
  }
  return found;
}

type Proxy = { name: string; env?: { name: string; value?: string }[] };
type Found = { workload: Workload; pod: KubeObject; proxy: Proxy; rate: number | undefined };

export function tlsAdvice(input: TlsInput): Advice[] {
  const found = foundIn(input);
  return [...found.flatMap((each) => adviceFor(input, each)), ...restOf(found)];
}

function foundIn({ mesh, pods, namespace, rates }: TlsInput): Found[] {
  const names = namespace === undefined ? [...mesh.state.namespaces.keys()] : [namespace];
  const byName = new Map(
    pods.map((pod) => [`${pod.metadata.namespace}/${pod.metadata.name}`, pod]),
  );
  return names
    .flatMap((name) => mesh.state.workloads(name))
    .flatMap((workload) => {
      const own = workload.pods.map(({ name }) => `${workload.namespace}/${name}`);
      const pod = own.map((name) => byName.get(name)).find((each) => each !== undefined);
      const proxy = proxyIn<Proxy>(pod?.spec?.containers, pod?.spec?.initContainers);
      const measured = own.flatMap((name) => rates?.get(name) ?? []);
      const rate = measured.length === 0 ? undefined : Math.max(...measured);
      return pod && proxy ? [{ workload, pod, proxy, rate }] : [];
    });
}

function adviceFor({ nodes, hasPolicy }: TlsInput, { workload, pod, proxy, rate }: Found) {
  if (rate === undefined) return [];
  const subject = `${workload.namespace}/${workload.name}`;
  const topic = 'tls' as const;
  const measured = `${rate.toFixed(0)} handshakes/s were the most of one proxy`;
  const isRsa = !proxy.env?.some(
    ({ name, value }) => name === 'ECC_SIGNATURE_ALGORITHM' && value === 'ECDSA',
  );
  const has = providerIn(pod.metadata.annotations?.[configAnnotation] ?? '');
  const each = rate / workersUsual;
  const perWorker = `${each.toFixed(0)} for each of ${workersUsual} workers; a batch of signatures needs ${offloadFrom} to be more than one in pollDelay`;
  const advice: Advice[] = [];
  if (isRsa && rate >= ecdsaFrom) {
    advice.push({
      ...{ topic, id: 'ecdsa-keys', subject, change: ecdsaPatch },
      sentence: 'use keys of ECDSA P-256 instead of RSA 2048, before any hardware',
      why: `${measured}, and ECC_SIGNATURE_ALGORITHM is not set`,
      saves: 'nine tenths of the CPU of signatures (openssl speed: 0.25 ms and 0.02 ms)',
      worse: 'pods restart once',
      unknown: 'whether a peer outside the mesh takes RSA certificates only',
    });
  }
  if (has && each < offloadFrom) {
    advice.push({
      ...{ topic, id: 'offload-needless', subject },
      sentence: `remove privateKeyProvider ${has}: it only adds pollDelay to each handshake`,
      why: `${measured}, ${perWorker}`,
      ...{ saves: 'up to 2 ms of each handshake', worse: 'pods restart once', unknown: '' },
      change: `${offloadLabel}: "off"`,
    });
  }
  const capable = nodes.filter(
    ({ metadata: { labels } }) => labels?.[capableLabel] === 'true',
  ).length;
  if (!has && each >= offloadFrom && capable > 0) {
    advice.push({
      ...{ topic, id: 'offload', subject },
      sentence: 'let the CPU make signatures in batches (CryptoMb)',
      why: `${measured}, ${perWorker}; ${capable} of ${counted(nodes.length, 'node')} can`,
      saves: 'CPU of handshakes',
      worse: 'each handshake waits for up to 2 ms; pods restart once, and on nodes that can only',
      unknown: 'how much: measure it with your keys',
      change: hasPolicy ? labelPatch(workload) : kustomizePatch(workload, pod),
    });
  }
  return advice;
}

/** What is not worth anything, so that nobody switches it on for its name. */
function restOf(found: readonly Found[]): Advice[] {
  const unknown = found.filter(({ rate }) => rate === undefined).length;
  const calm = found.filter(({ rate }) => rate !== undefined && rate < ecdsaFrom).length;
  const common = { topic: 'tls' as const, subject: 'mesh', saves: '', worse: '' };
  const leave = (count: number) => `leave TLS offload off for ${counted(count, 'workload')}`;
  return [
    ...(calm > 0
      ? [
          {
            ...{ ...common, id: 'not-worth-it', sentence: leave(calm), unknown: '' },
            why: `none of their proxies makes ${ecdsaFrom} handshakes/s: sidecars keep their connections, so there is nothing to save`,
            change: '# nothing',
          },
        ]
      : []),
    ...(unknown > 0
      ? [
          {
            ...{ ...common, id: 'not-measured', sentence: leave(unknown) },
            why: 'it pays only at hundreds of handshakes a second for each worker',
            unknown: 'their rates: give --prometheus, and let proxies keep the counter',
            change: keptStats,
          },
        ]
      : []),
  ];
}

const keptStats =
  "proxy.istio.io/config: |\n  proxyStatsMatcher:\n    inclusionSuffixes: ['ssl.handshake']\n";

const ecdsaPatch =
  'proxy.istio.io/config: |\n  proxyMetadata:\n    ECC_SIGNATURE_ALGORITHM: ECDSA\n';

function labelPatch({ namespace, name }: Workload): string {
  const template = { metadata: { labels: { [offloadLabel]: 'auto' } } };
  return `kubectl patch -n ${namespace} deployment/${name} -p '${JSON.stringify({ spec: { template } })}'`;
}

/** What the policy would do to each pod, as a patch of its template. */
function kustomizePatch({ name, namespace }: Workload, pod: KubeObject): string {
  const own = pod.metadata.annotations?.[configAnnotation] ?? '';
  const config = withProvider(own);
  if (config === undefined) {
    return `# add it to its ${configAnnotation} by hand, and to its nodeSelector ${capableLabel}: "true"\nprivateKeyProvider: {cryptomb: {pollDelay: 2ms, fallback: true}}`;
  }
  const spec = { nodeSelector: { [capableLabel]: 'true' } };
  const metadata = { annotations: { [configAnnotation]: config } };
  const patch = {
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace } },
    spec: { template: { metadata, spec } },
  };
  return `# kustomize: patches: [{path: this file}]\n${stringify(patch)}`;
}

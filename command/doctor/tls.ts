import { parse } from 'yaml';
import type { KubeObject } from '../../companion/kube/object.ts';
import { capableLabel } from '../core/tls-offload.ts';
import { durationIn } from '../mesh/istiod.ts';
import type { Check, Evidence, Examined } from './check.ts';

/** Hardware for TLS: `privateKeyProvider` of the mesh and of single pods. */

type Settings = { pollDelay?: string; fallback?: boolean };
type Provider = { cryptomb?: Settings; qat?: Settings };
type Place = { subject: string; kind: 'cryptomb' | 'qat'; settings: Settings; pod?: PodSpec };
type Container = { name: string; resources?: { limits?: Record<string, string> } };
type PodSpec = {
  containers?: Container[];
  initContainers?: Container[];
  nodeSelector?: Record<string, string>;
  affinity?: object;
};

function* providers({ of, mesh: { config } }: Examined): Generator<Place> {
  for (const { metadata, data } of of('ConfigMap')) {
    const provider = providerIn(data?.mesh, 'defaultConfig');
    yield* placesOf(`ConfigMap ${config.rootNamespace}/${metadata.name}`, provider);
  }
  for (const { metadata, spec } of of('Pod')) {
    const text = metadata.annotations?.['proxy.istio.io/config'];
    if (text === undefined) continue;
    const subject = `Pod ${metadata.namespace}/${metadata.name}`;
    yield* placesOf(subject, providerIn(text), spec ?? {});
  }
}

function* placesOf(subject: string, provider?: Provider, pod?: PodSpec): Generator<Place> {
  for (const kind of ['cryptomb', 'qat'] as const) {
    const settings = provider?.[kind];
    if (settings) yield { subject, kind, settings, ...(pod && { pod }) };
  }
}

function providerIn(text: unknown, within?: 'defaultConfig'): Provider | undefined {
  try {
    type Config = { privateKeyProvider?: Provider; defaultConfig?: Config } | null;
    const config = parse(String(text ?? '')) as Config;
    return (within ? config?.[within] : config)?.privateKeyProvider;
  } catch {
    // istiod and the injector refuse it too.
    return undefined;
  }
}

/** The pods that a provider is for: those with their own, or each sidecar if the mesh has one. */
export function* privateKeyPods(examined: Examined): Generator<{ pod: KubeObject; kind: string }> {
  const found = [...providers(examined)];
  const ofMesh = found.find(({ pod }) => !pod)?.kind;
  const own = new Map(found.flatMap(({ pod, subject, kind }) => (pod ? [[subject, kind]] : [])));
  for (const pod of examined.of('Pod')) {
    const kind = own.get(`Pod ${pod.metadata.namespace}/${pod.metadata.name}`) ?? ofMesh;
    if (kind) yield { pod, kind };
  }
}

/** Labels of nodes with the instructions: by the companion or its peer, Node Feature Discovery. */
const capable = [capableLabel, 'feature.node.kubernetes.io/cpu-cpuid.AVX512IFMA'];

/** A pod that names one of these labels is kept to nodes that have it. */
function isKept({ nodeSelector, affinity }: PodSpec): boolean {
  const named = JSON.stringify([nodeSelector, affinity]);
  return capable.some((label) => named.includes(`"${label}"`));
}

const lacksHardware: Check = {
  ...{ id: 'private-key-fallback', severity: 'critical' },
  title: 'TLS fails on nodes without the hardware that a privateKeyProvider needs',
  find(examined) {
    const lacking = examined
      .of('Node')
      .find(({ metadata: { labels } }) => !capable.some((label) => labels?.[label] === 'true'));
    return [...providers(examined)].flatMap(({ subject, kind, pod }): Evidence[] => {
      // A pod with QAT needs a device, for which there is a check of its own.
      if (kind === 'qat' && pod) return [];
      if (kind === 'cryptomb' && (!lacking || (pod && isKept(pod)))) return [];
      const where = kind === 'qat' ? 'without QAT' : `such as ${lacking?.metadata.name}`;
      const kept = 'privateKeyProvider for single pods only, with nodeSelector';
      return [
        {
          subject,
          sentence: `it is for nodes without the hardware too, ${where}: proxies refuse their certificate there, with and without fallback`,
          remedy: `${kept} {${capableLabel}: "true"}: manifests/components/tls-offload`,
        },
      ];
    });
  },
};

const pollDelay: Check = {
  ...{ id: 'private-key-poll-delay', severity: 'warning' },
  title: 'a pollDelay of a second or more is not what Istio uses',
  find: (examined) =>
    [...providers(examined)].flatMap(({ subject, kind, settings }): Evidence[] => {
      const ms = durationIn(String(settings.pollDelay ?? '')) ?? 0;
      if (ms < 1_000) return [];
      const sentence = `pollDelay of ${kind} is ${settings.pollDelay}; Istio takes ${ms % 1_000} ms of it, without whole seconds`;
      const remedy = `privateKeyProvider: {${kind}: {pollDelay: 2ms, fallback: true}}`;
      return [{ subject, sentence, remedy }];
    }),
};

const device: Check = {
  ...{ id: 'private-key-device', severity: 'critical' },
  title: 'a pod is to use QAT, and has no device',
  find: (examined) =>
    [...providers(examined)].flatMap(({ subject, kind, pod }): Evidence[] => {
      const containers = [...(pod?.containers ?? []), ...(pod?.initContainers ?? [])];
      const isGiven = containers.some(({ resources }) =>
        Object.keys(resources?.limits ?? {}).some((name) => name.startsWith('qat.intel.com/')),
      );
      if (kind !== 'qat' || !pod || isGiven) return [];
      const sentence = 'it has privateKeyProvider qat, and no container requests qat.intel.com/*';
      const remedy = 'resources: {limits: {qat.intel.com/cy: 1}} of its container istio-proxy';
      return [{ subject, sentence, remedy }];
    }),
};

export const tlsChecks: readonly Check[] = [lacksHardware, pollDelay, device];

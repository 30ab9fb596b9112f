import type { KubeObject } from '../kube/object.ts';

/** On a Node and on a pod: `enabled`. Any other value, or none, means no. */
export const optIn = 'lazyscope.io/bypass';
/** On a pod: ports, separated by commas, that stay on the stack on this node. */
export const portsAnnotation = 'lazyscope.io/bypass-exclude-ports';

/** A pod that opted in, and the result. */
export type Candidate = {
  uid: string;
  namespace: string;
  name: string;
  qosClass: string;
  ports: number[];
  /** The reason why it stays on the stack. */
  refused?: string;
};

/** Programs that are known to lose: the last part of the image's path, and the reason. */
const losers: Readonly<Record<string, string>> = {
  haproxy: 'haproxy splices between sockets (option splice-auto), which hangs on a socket map',
  'haproxy-ingress': 'haproxy splices between sockets, which hangs on a socket map',
  traefik: 'Go splices between two TCP sockets in io.Copy, which hangs on a socket map',
  caddy: 'Go splices between two TCP sockets in io.Copy, which hangs on a socket map',
  iperf3: 'streams in one direction gain nothing and lose the coalescing of small writes',
};

/** As many as the loader takes (PORTS_MAX in bpf/bypass.h). */
const portsMax = 256;

/** Undefined for a pod that did not opt in. */
export function readCandidate({ metadata, spec, status }: KubeObject): Candidate | undefined {
  const { uid, namespace, name, annotations = {} } = metadata;
  if (annotations[optIn] !== 'enabled' || !uid || !namespace) return undefined;
  const candidate = { uid, namespace, name, qosClass: String(status?.qosClass ?? 'BestEffort') };
  const ports = readPorts(annotations[portsAnnotation] ?? '');
  if (!ports) {
    const refused = `${portsAnnotation} is not a list of ports such as 3306,5432`;
    return { ...candidate, ports: [], refused };
  }
  const refused = refusal(spec ?? {}, status ?? {});
  return { ...candidate, ports, ...(refused && { refused }) };
}

export function readPorts(text: string): number[] | undefined {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length === 1 && parts[0] === '') return [];
  const ports = parts.map((part) => (/^\d{1,5}$/.test(part) ? Number(part) : 0));
  return ports.every((port) => port > 0 && port < 65_536) ? [...new Set(ports)] : undefined;
}

function refusal(spec: KubeObject['spec'], status: KubeObject['status']): string | undefined {
  // Its sockets belong to the node's cgroup, which contains all processes.
  if (spec.hostNetwork === true) return 'the pod uses the host network';
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return 'the pod has ended';
  const images: string[] = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map(
    ({ image }: { image?: string }) => image ?? '',
  );
  return images.map((image) => losers[nameOf(image)]).find((why) => why !== undefined);
}

/** `registry:5000/a/haproxy:2.9@sha256:...` is `haproxy`. */
function nameOf(image: string): string {
  const last = image.split('@')[0]?.split('/').at(-1) ?? '';
  return last.split(':')[0] ?? '';
}

/**
 * Node-wide: a port that one pod excludes is excluded for all pods. Above the bound, no pod is
 * served.
 */
export function excludedPorts(
  ofNode: readonly number[],
  candidates: Iterable<Candidate>,
): number[] | undefined {
  const ports = new Set(ofNode);
  for (const candidate of candidates) for (const port of candidate.ports) ports.add(port);
  return ports.size > portsMax ? undefined : [...ports].sort((a, b) => a - b);
}

export function isNodeOptedIn({ metadata }: KubeObject): boolean {
  return metadata.labels?.[optIn] === 'enabled';
}

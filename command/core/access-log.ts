/**
 * Lines of Envoy's access log as calls. The formats are Istio's defaults as text and as JSON
 * (pilot/pkg/model/telemetry_logging.go), each alone or inside what a log collector wraps around
 * them.
 */

export type LoggedCall = {
  /** The cluster that was called, without the `;` of its metric name; `-` if there was none. */
  cluster: string;
  /** Milliseconds since the epoch; undefined if the line does not say. */
  at: number | undefined;
  /** The pod whose log it is, if the line says. */
  pod?: { name: string; namespace?: string | undefined };
};

/** `other`: a line of the proxy that is no access log; `broken`: why a line could not be read. */
export type Line = { call: LoggedCall } | { other: true } | { broken: string };

export type ReadLine = (text: string) => Line;

/** Envoy's own bound for headers is 60 KiB, but such a line holds nothing that is wanted. */
export const lineBytesMax = 16_384;

/**
 * Reads a line of any of these forms: behind the prefix of `kubectl logs --prefix` or not, inside a
 * JSON envelope or not. `text` and `json` read what follows; default: Istio's formats.
 */
export function createLineReader({
  text = readDefaultText,
  json = (line) => readJson(line, text),
}: {
  text?: ReadLine;
  json?: ReadLine;
} = {}): ReadLine {
  return (line) => {
    if (line.length > lineBytesMax) return { broken: `longer than ${lineBytesMax} characters` };
    const [, podName, rest = line] = /^\[pod\/([^/\]]+)\/[^\]]+\] (.*)$/.exec(line) ?? [];
    const read = rest.startsWith('{') ? json(rest) : text(rest);
    if (!podName || !('call' in read) || read.call.pod) return read;
    return { call: { ...read.call, pod: { name: podName } } };
  };
}

/** Lines that the proxy and its agent write beside the access log. */
const ownLine =
  /^\d{4}([-/])\d\d\1\d\d[T ]\S+\s+(trace|debug|info|warn(ing)?|error|critical|fatal)\b/i;
/** The agent prints its ProxyConfig as YAML when it starts. */
const ownSetting =
  /^(binaryPath|concurrency|configPath|controlPlaneAuthPolicy|discoveryAddress|drainDuration|proxyAdminPort|serviceCluster|statNameLength|statusPort|terminationDrainDuration): \S+$/;

/** Six fields without blanks end a line; the first of them is the cluster. */
const fieldsAfterCluster = 5;

function readDefaultText(line: string): Line {
  if (!line.startsWith('[')) {
    if (line.trim() === '' || ownLine.test(line) || ownSetting.test(line)) return { other: true };
    return { broken: 'it does not begin with [START_TIME]' };
  }
  const end = line.indexOf(']');
  const at = Date.parse(line.slice(1, end));
  if (end < 0 || Number.isNaN(at)) return { broken: 'no time in brackets at its beginning' };
  let stop = line.length;
  for (let field = 0; field < fieldsAfterCluster; field++) stop = line.lastIndexOf(' ', stop - 1);
  const start = line.lastIndexOf(' ', stop - 1);
  if (stop < 0 || start < 0) return { broken: 'fewer fields than the default format of Istio' };
  return callOf(line.slice(start + 1, stop), at);
}

const clusterForm = /^(-|(in|out)bound(_\.\d+_\.[^|]*_\.|\|\d+\|[^|]*\|)\S*|[A-Za-z][\w.-]*);?$/;

/** A call of a cluster as Envoy or its statistics name it. */
export function callOf(cluster: string, at: number | undefined): Line {
  if (!clusterForm.test(cluster)) return { broken: `"${cluster.slice(0, 60)}" is no cluster` };
  return { call: { cluster: cluster.replace(/;$/, ''), at } };
}

type Json = { [key: string]: unknown };

/** Fields in which collectors put the line itself. */
const bodies = ['log', 'message', 'msg', 'body', 'line'];

function readJson(text: string, readText: ReadLine): Line {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    return { broken: 'it begins like JSON and is none' };
  }
  const pod = podIn(value);
  const named = (line: Line): Line =>
    pod && 'call' in line ? { call: { ...line.call, pod } } : line;
  if ('upstream_cluster' in value) {
    const at = Date.parse(String(value.start_time));
    const cluster = value.upstream_cluster ?? '-';
    return named(callOf(String(cluster), Number.isNaN(at) ? undefined : at));
  }
  const body = bodies.map((key) => value[key]).find((each) => typeof each === 'string');
  if (typeof body === 'string') {
    const inner = body.trimEnd();
    // The proxy and its agent can log as JSON, too.
    if ('level' in value && !/^[[{]/.test(inner)) return { other: true };
    // One envelope; a second one is nobody's format, and would let a line nest without end.
    return named(inner.startsWith('{') ? readJson(inner, notJson) : readText(inner));
  }
  return { broken: 'JSON without upstream_cluster, and without a line in it' };
}

const notJson: ReadLine = () => ({ broken: 'JSON in JSON in JSON' });

/** Where Fluent Bit, Vector, Promtail and OpenTelemetry name the pod. */
function podIn(value: Json): LoggedCall['pod'] {
  const kubernetes = objectIn(value.kubernetes);
  const resource = objectIn(objectIn(value.resource).attributes ?? value.resource);
  const labels = objectIn(value.labels ?? value.stream);
  const name =
    kubernetes.pod_name ?? resource['k8s.pod.name'] ?? labels.pod ?? value.pod_name ?? value.pod;
  const namespace =
    kubernetes.namespace_name ??
    kubernetes.pod_namespace ??
    resource['k8s.namespace.name'] ??
    labels.namespace ??
    value.namespace;
  if (typeof name !== 'string') return undefined;
  return { name, namespace: typeof namespace === 'string' ? namespace : undefined };
}

function objectIn(value: unknown): Json {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
    ? (value as Json)
    : {};
}

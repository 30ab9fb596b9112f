import type { Logger } from 'pino';
import { defaultRevision, meshConfigMapOf } from '../../core/mesh/revision.ts';
import type { Refusal } from '../../core/scope/barrier.ts';
import { modeLabel, modes } from '../../core/scope/condition.ts';
import { parseSource, sourceLabel, sources } from '../../core/scope/source.ts';
import type { KubeObject } from '../../kube/object.ts';
import type { ControllerMetrics } from '../metrics.ts';
import { looksAt } from '../state/namespaces.ts';
import type { State } from '../state/state.ts';
import type { News, Sink } from './sink.ts';

/** Why no workload of a namespace can be scoped under these revisions of istiod. */
export function obstacleOf(
  state: Pick<State, 'namespaces' | 'discovery' | 'systemNamespace'>,
  name: string,
  revisions: Iterable<string>,
): Refusal | undefined {
  const { namespaces, discovery, systemNamespace } = state;
  if (namespaces.get(name)?.ambient) {
    const message = `Namespace ${name} is in the ambient mesh, which has no sidecars to scope. Remove label lazyscope.io/mode.`;
    return { reason: 'Ambient', message };
  }
  for (const revision of revisions) {
    // A scope relies on objects in the system namespace: without the sentinel, first calls are
    // lost.
    const hidden = [name, systemNamespace].find((each) => !looksAt(state, revision, each));
    if (hidden === undefined) continue;
    const configMap = meshConfigMapOf(discovery.has(revision) ? revision : defaultRevision);
    const message =
      `istiod ignores namespace ${hidden}, because discoverySelectors of the mesh configuration ` +
      `(ConfigMap ${configMap}) do not select it. Give the namespace a label that they select.`;
    return { reason: 'NotDiscovered', message };
  }
  return undefined;
}

function unknownMode(what: string): News {
  const message =
    `${what} is not one of ${modes.join(', ')}. Modes in force stay; workloads without a mode are off. ` +
    'Set one of these values.';
  return { reason: 'UnknownMode', message, isWarning: true };
}

function unknownSource(label: string): News {
  const message =
    `Label ${sourceLabel}: "${label}" is not one of ${sources.join(', ')}. The source in force stays. ` +
    'Set one of these values, or remove the label: wasm.';
  return { reason: 'UnknownSource', message, isWarning: true };
}

/** Notices about a namespace as a whole, which may have no workload to attach them to. */
function noticeOf(state: State, name: string): News | undefined {
  const { label, mode, labels } = state.namespaces.get(name) ?? {};
  if (label === undefined || mode === 'off') return undefined;
  if (mode === undefined) {
    return unknownMode(`Label ${modeLabel}: "${label}"`);
  }
  const source = labels?.[sourceLabel];
  if (source !== undefined && !parseSource(source)) return unknownSource(source);
  const found = state.catalog.revisionsIn(name);
  // Without pods, the revision that its next pods get, if the label names no tag.
  const revisions = found.length > 0 ? found : [labels?.['istio.io/rev'] ?? defaultRevision];
  const obstacle = obstacleOf(state, name, revisions);
  if (obstacle) return { ...obstacle, isWarning: true };
  const unknown = state.installedFilter
    .pinned(name)
    .find((digest) => !state.served.includes(digest));
  const [own] = state.served;
  if (own && unknown) {
    const message =
      `A WasmPlugin pins filter ${unknown}, which no controller has. New pods run without the filter, ` +
      `so their workload is not narrowed. Pin ${own} (manifests/namespace/pin-filter.sh).`;
    return { reason: 'FilterUnknown', message, isWarning: true };
  }
  const unread = found.filter((revision) => !state.revisions.includes(revision));
  if (unread.length === 0) return undefined;
  const message =
    `Proxies use revision ${unread.join(', ')} of Istio, whose mesh configuration Lazyscope does not read; ` +
    `it uses ConfigMap istio instead. Name the revision in LAZYSCOPE_REVISIONS (manifests/README.md).`;
  return { reason: 'UnreadRevision', message, isWarning: true };
}

/** All current notices, each with the object that it is about. */
function* noticesOf(state: State): Generator<{ about: KubeObject; notice: News }> {
  for (const name of state.namespaces.keys()) {
    const notice = noticeOf(state, name);
    // An Event must be in the namespace of its object.
    if (notice) yield { about: objectOf('Namespace', name, name), notice };
  }
  for (const { namespace, name, text } of state.serviceModes.unknown()) {
    const notice = unknownMode(`Annotation ${modeLabel}: "${text}"`);
    yield { about: objectOf('Service', namespace, name), notice };
  }
}

function objectOf(kind: string, namespace: string, name: string): KubeObject {
  return { apiVersion: 'v1', kind, metadata: { name, namespace } };
}

/** Labels and annotations with a value that means nothing. */
const mistakes: ReadonlySet<string> = new Set(['UnknownMode', 'UnknownSource']);

/** Sends each notice once, and again when its text changes; the sink logs failures. */
export function createNotices(options: {
  state: State;
  sink: Sink;
  log: Logger;
  metrics: ControllerMetrics;
}) {
  const { state, sink, log, metrics } = options;
  const told = new Map<string, string>();

  async function tellAll(): Promise<void> {
    const now = [...noticesOf(state)].map(({ about, notice }) => {
      const { kind, metadata } = about;
      return { about, notice, key: `${kind} ${metadata.namespace}/${metadata.name}` };
    });
    metrics.unknownModes.set(now.filter(({ notice }) => mistakes.has(notice.reason)).length);
    const current = new Set(now.map(({ key }) => key));
    for (const key of told.keys()) if (!current.has(key)) told.delete(key);
    for (const { about, notice, key } of now) {
      const text = `${notice.reason} ${notice.message}`;
      if (told.get(key) === text) continue;
      told.set(key, text);
      await sink.tell(about, notice);
    }
  }

  return {
    /** Never rejects, because nobody waits for it. */
    async look(): Promise<void> {
      if (!sink.mayWrite()) return;
      await tellAll().catch((err: unknown) => log.error({ err }, 'telling of notices failed'));
    },
  };
}

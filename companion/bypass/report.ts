import type { KubeObject } from '../kube/object.ts';
import type { Features } from './features.ts';
import type { SelfTest } from './loader.ts';
import type { Candidate } from './policy.ts';
import { type BypassState, describe } from './state.ts';

/** Field manager of the fields below on the Node, and of nothing else on it. */
export const fieldManager = 'lazyscope-bypass';

const capableLabel = 'lazyscope.io/bypass-capable';
const stateAnnotation = 'lazyscope.io/bypass-state';
const reportAnnotation = 'lazyscope.io/bypass-report';

/**
 * All annotations of an object have 256 KiB together; the reasons of this many pods fit into 8 KiB.
 */
const podsMax = 32;

export type BypassReport = {
  state: BypassState;
  features: Features;
  selftest: SelfTest['checks'] | undefined;
  refused: { pod: string; reason: string }[];
};

export function createReport(
  state: BypassState,
  { features, selftest }: { features: Features; selftest?: SelfTest },
  candidates: Candidate[],
): BypassReport {
  const refused = candidates
    .flatMap(({ namespace, name, refused: reason }) =>
      reason === undefined ? [] : [{ pod: `${namespace}/${name}`, reason }],
    )
    .slice(0, podsMax);
  return { state, features, selftest: selftest?.checks, refused };
}

/** The report as fields of the Node, for server-side apply. */
export function nodeOf(name: string, report: BypassReport): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: { [capableLabel]: String(isCapable(report)) },
      annotations: {
        [stateAnnotation]: describe(report.state),
        [reportAnnotation]: JSON.stringify(report),
      },
    },
  };
}

/** Tested and not failed; a node that was never tested is not known to be capable. */
export function isCapable({ state, selftest }: Pick<BypassReport, 'state' | 'selftest'>): boolean {
  return state.name !== 'refused' && selftest !== undefined;
}

/** Events of Nodes belong to the namespace `default`. */
export function eventOf(
  node: string,
  reason: string,
  message: string,
  at: Date,
  type: 'Warning' | 'Normal' = 'Warning',
): KubeObject {
  const time = at.toISOString();
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${node}.bypass-${at.getTime().toString(16)}`, namespace: 'default' },
    involvedObject: { apiVersion: 'v1', kind: 'Node', name: node, uid: node },
    type,
    reason,
    message: message.slice(0, 1000),
    source: { component: 'lazyscope-bypass', host: node },
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
}

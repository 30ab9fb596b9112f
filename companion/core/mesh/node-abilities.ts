import { bypassDisqualification, type NodeLabels } from './node-features.ts';

/** What a node can do and does, and why not. */
export type NodeAbilities = {
  node: string;
  /** A node companion there has reported to this controller and is connected. */
  heard: boolean;
  features: NodeLabels;
  /** The hardware that TLS keys can use. */
  tls: { can: 'cryptomb' | 'qat' | 'none' | 'unknown'; why: string };
  bypass: { does: 'on' | 'off'; why: string };
};

/** Labels and annotations of a Node; the bypass agent writes the two annotations. */
export type NodeMarks = {
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
};

export function abilitiesOf(
  node: string,
  features: NodeLabels | undefined,
  marks: NodeMarks | undefined,
): NodeAbilities {
  return {
    node,
    heard: features !== undefined,
    features: features ?? {},
    tls: tlsOf(features),
    bypass: bypassOf(features, marks),
  };
}

const unheard = 'its node companion has not reported its features';

function tlsOf(features: NodeLabels | undefined): NodeAbilities['tls'] {
  if (!features) return { can: 'unknown', why: unheard };
  if (features.qat === 'true') {
    return { can: 'qat', why: 'it has a QAT device; a pod must request qat.intel.com/*' };
  }
  if (features.cryptomb === 'true') return { can: 'cryptomb', why: 'its CPU has AVX-512 IFMA' };
  return {
    can: 'none',
    why: 'no QAT device, and its CPU lacks BMI2 or AVX-512 F, DQ, BW, IFMA or VBMI2',
  };
}

/** The label of the Node comes first: the agent leaves its last report when the label goes. */
function bypassOf(
  features: NodeLabels | undefined,
  marks: NodeMarks | undefined,
): NodeAbilities['bypass'] {
  const off = (why: string) => ({ does: 'off' as const, why });
  const unfit = features && unfitFor(features);
  if (!marks) return off(unfit ?? 'the controller may not read its Node');
  if (marks.labels?.['lazyscope.io/bypass'] !== 'enabled') {
    return off(unfit ?? 'the node is not labelled lazyscope.io/bypass=enabled');
  }
  const state = marks.annotations?.['lazyscope.io/bypass-state'];
  if (state === undefined) {
    return off(unfit ?? 'no bypass agent has reported: manifests/components/bypass');
  }
  if (/^active\b/.test(state)) return { does: 'on', why: state };
  if (state === 'ready') return { does: 'on', why: 'ready, and no pod asks for it' };
  return off(state);
}

function unfitFor({ kernel, btf, cgroups }: NodeLabels): string | undefined {
  if (kernel === undefined) return undefined;
  return bypassDisqualification({ kernel, btf: btf === 'true', cgroups: cgroups ?? '' });
}

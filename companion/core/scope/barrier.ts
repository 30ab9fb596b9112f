import { counted } from '../mesh/counted.ts';
import type { Mode, Scoped } from './condition.ts';
import type { ProxyCount } from './proxies.ts';
import type { SidecarRecord } from './sidecar.ts';

/** Why a workload cannot have a scope, whatever the state of its proxies. */
export type Refusal = {
  reason:
    | 'Ambient'
    | 'NotDiscovered'
    | 'NoLabels'
    | 'FilterMissing'
    | 'NotIntercepted'
    | 'TooManyEager'
    | 'ScopeTooLarge'
    | 'UnseenProxies'
    | 'PlainBeyondScope'
    | 'BoundListeners';
  message: string;
};

export type BarrierInput = {
  refusal: Refusal | undefined;
  /** istiod gives the filters other names than the EnvoyFilter moves (docs/istio.md). */
  isIstioTooOld: boolean;
  /** A Sidecar of another owner that selects the workload. */
  foreign: SidecarRecord | undefined;
  proxies: ProxyCount;
  /** Milliseconds until the learning window ends; 0 or less when it has. */
  learningMs: number;
  /**
   * A proxy that is silent for longer, while its node companion reports, has lost its filter, as
   * far as can be known.
   */
  silenceMs: number;
};

/** `withdraws`: a scope in force is removed too; otherwise the scope stays, and only grows. */
export type Barrier = Scoped & { withdraws: boolean };

/**
 * The reason that prevents narrowing a workload, checked from the most to the least permanent. The
 * reasons marked `withdraws` mean that first calls may go unseen, so an existing scope is removed
 * too.
 */
export function barrierOf(input: BarrierInput): Barrier | undefined {
  const { refusal, isIstioTooOld, foreign, proxies, learningMs, silenceMs } = input;
  const { total, live, quorumMs } = proxies;
  if (refusal) return barrier(refusal.reason, refusal.message, true);
  if (foreign) {
    const what = `Sidecar ${foreign.name} selects this workload`;
    return barrier('ForeignSidecar', `${what}; delete it to let Lazyscope scope it.`, true);
  }
  if (total === 0) return barrier('NoProxies', 'No proxy of the workload is running.', false);
  if (quorumMs > silenceMs) {
    const what = `At least a quarter of the proxies has been silent for ${Math.floor(quorumMs / 1000)} s`;
    const remedy = 'Check the node companions there; restart pods that lack the filter.';
    return barrier('ProxiesSilent', `${what}. ${remedy}`, true);
  }
  if (isIstioTooOld) {
    // A scope in force was written for an Istio with these names, and still works: definitions that
    // are deleted or out of sight must not return the whole mesh to full configuration.
    const what = 'The API server has no definition of TrafficExtension: Istio is older than 1.30';
    const remedy = 'Upgrade Istio with its definitions to 1.30 or later.';
    return barrier('IstioTooOld', `${what}, and TCP calls would not be counted. ${remedy}`, false);
  }
  if (live < total) {
    const what = `Reports come from ${live} of ${counted(total, 'proxy')}; all must report.`;
    return barrier('ProxiesNotReporting', `${what} Restart pods that lack the filter.`, false);
  }
  if (learningMs > 0) {
    const seconds = Math.ceil(learningMs / 60_000) * 60;
    return barrier('Learning', `The learning window ends in ${seconds} s.`, false);
  }
  return undefined;
}

function barrier(reason: string, message: string, withdraws: boolean): Barrier {
  return { status: 'False', reason, message, withdraws };
}

/** Reasons that need attention; the others pass by themselves or are intended. */
const worrying = new Set([
  'Ambient',
  'BoundListeners',
  'FilterMissing',
  'ForeignSidecar',
  'IstioTooOld',
  'NoLabels',
  'NotDiscovered',
  'NotIntercepted',
  'PlainBeyondScope',
  'ProxiesSilent',
  'ScopeTooLarge',
  'TooManyEager',
  'UnseenProxies',
]);

export function isWorrying({ reason }: { reason: string }): boolean {
  return worrying.has(reason);
}

/** Condition `Ready`: whether any reason other than the mode prevents narrowing. */
export function readyOf(found: Barrier | undefined): Scoped {
  if (found) return { status: 'False', reason: found.reason, message: found.message };
  return { status: 'True', reason: 'Ready', message: 'The workload can be narrowed.' };
}

/** Why a mode has no scope; undefined for the mode that has one. */
export function modeReason(mode: Mode): Scoped | undefined {
  if (mode === 'off') {
    const message = 'The mode is off, or no lazyscope.io/mode is set: full configuration.';
    return { status: 'False', reason: 'Off', message };
  }
  if (mode === 'observe') {
    return {
      status: 'False',
      reason: 'Observing',
      message: 'In mode observe, Lazyscope only learns and reports.',
    };
  }
  return undefined;
}

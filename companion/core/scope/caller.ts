import type { Caller } from '../first-call/decide.ts';
import type { FirstCall } from '../first-call/strategy.ts';
import type { Mode } from './condition.ts';
import { entryOf } from './hosts.ts';
import { admits, type ImportRules } from './sidecar.ts';

/** What is known of a caller, as plain data. */
export type CallerFacts = {
  namespace: string;
  labels: Readonly<Record<string, string>>;
  network: string;
  firstCall: FirstCall;
  mode: Mode;
  /** Entries that the user excluded from its scope. */
  excludes: readonly string[];
  /** A scope may hide hosts from the caller's proxy. */
  isNarrowed: boolean;
  /** Name of another owner's Sidecar that applies to the caller; empty if there is none. */
  foreign: string;
  /** The default Sidecar that the caller's scope replaces. */
  shadowed: ImportRules | undefined;
};

export function callerOf(facts: CallerFacts): Caller {
  const { namespace, labels, network, firstCall, mode, excludes, isNarrowed } = facts;
  const { foreign, shadowed } = facts;
  return {
    ...{ namespace, labels, network, firstCall, isNarrowed },
    imports: mode === 'enforce',
    mayLearn: (host) => mode !== 'off' && !excludes.includes(entryOf(host)),
    barrier(host) {
      if (foreign) return `Sidecar ${foreign} applies to the workload`;
      if (admits(shadowed, entryOf(host), namespace, host.port)) return undefined;
      return `default Sidecar ${shadowed?.namespace}/${shadowed?.name} does not import the host`;
    },
  };
}

import { type Decided, decide } from '../first-call/decide.ts';
import type { UnknownCall } from '../first-call/resolve.ts';
import { answerTtlSeconds, type Decision } from '../first-call/strategy.ts';
import { callerOf } from '../scope/caller.ts';
import type { CompactCatalog } from './catalog.ts';

export type Asker = { namespace: string; name: string; uid: string };

/**
 * What a compact catalog says about a first call.
 *  - `whole`: what a controller with the same mesh answers;
 *  - `alone`: what to do if no controller answers. A held request, for one, waits for a scope that
 *    only a controller writes.
 * Undefined: only a controller can answer.
 */
export type CompactAnswer = { decision: Decision; use: 'whole' | 'alone' };

export function answerFrom(
  catalog: CompactCatalog,
  { namespace, name, uid }: Asker,
  call: UnknownCall,
): CompactAnswer | undefined {
  const view = catalog.view();
  const facts = catalog.caller(namespace, name);
  // A pod of the same name may have had other labels.
  if (!view || facts?.uid !== uid) return undefined;
  const decided = decide(view, callerOf(facts), call);
  const { record, ip } = decided.resolution;
  // A host that is not known here may be new, or may not have fitted in.
  if (decided.resolution.kind === 'external') return undefined;
  if (record && catalog.lacks(record, ip, call.tcp)) return undefined;
  const decision = decisionOf(decided);
  const { strategy, otherwise, reason } = decision;
  // A scope may have come into force this moment, and then passthrough fails under STRICT.
  if (strategy === 'passthrough') return { decision, use: 'alone' };
  if (strategy !== 'hold' || otherwise === '') return { decision, use: 'whole' };
  return {
    decision: {
      ...decision,
      strategy: otherwise,
      otherwise: '',
      ttlSeconds: answerTtlSeconds.empty,
      reason: `no controller writes a scope to wait for; ${reason}`,
    },
    use: 'alone',
  };
}

function decisionOf({
  resolution: _,
  learn: __,
  awaited: ___,
  ...decision
}: Decided<string>): Decision {
  return decision;
}

import { counted } from '../../core/mesh/counted.ts';
import { isWorrying } from '../../core/scope/barrier.ts';
import { conditionIn } from '../../core/scope/condition.ts';
import type { ScopeRecord } from '../../core/scope/workload-scope.ts';
import { type Access, maySee } from './access.ts';
import { type Known, timesOf } from './known.ts';

/**
 * What stands in the way of scopes and of savings, as far as WorkloadScopes say it. Other checks
 * read what controllers may not: the command makes them with the rights of its user.
 */

/** As in the command: `blocks` prevents a scope, `differs` costs calls, `note` is worth knowing. */
type Severity = 'blocks' | 'differs' | 'note';

type Found = { id: string; severity: Severity; sentence: string };

/** Workloads that a finding names; `count` has them all. */
const subjectsMax = 20;
/** Findings of an answer; each has a kind and a sentence of its own. */
const findingsMax = 200;

/** What controllers cannot see, and the command that can. */
const elsewhere = [
  {
    command: 'lazyscope doctor',
    about: 'settings, errors and pushes of istiod, the filter, companions, TLS, resources',
  },
  {
    command: 'lazyscope doctor --deep',
    about: 'what narrowed proxies lack, by their own configuration',
  },
  {
    command: 'lazyscope advise discovery',
    about: 'discovery selectors, which spare istiod and full sidecars',
  },
  { command: 'lazyscope advise istiod', about: 'variables of istiod for large meshes' },
  { command: 'lazyscope advise resources', about: 'requests and limits of sidecars' },
  { command: 'lazyscope check', about: 'a namespace before it is enabled' },
];

export function advice(known: Known, access: Access) {
  const grouped = new Map<string, Found & { subjects: string[]; count: number }>();
  let workloads = 0;
  for (const record of known.scopes.values()) {
    if (!maySee(access, record.namespace)) continue;
    workloads += 1;
    for (const found of findingsOf(record)) {
      const key = `${found.id} ${found.sentence}`;
      const group = grouped.get(key) ?? { ...found, subjects: [], count: 0 };
      group.count += 1;
      if (group.subjects.length < subjectsMax)
        group.subjects.push(`${record.namespace}/${record.name}`);
      grouped.set(key, group);
    }
  }
  const order: readonly Severity[] = ['blocks', 'differs', 'note'];
  const findings = [...grouped.values()].sort(
    (a, b) => order.indexOf(a.severity) - order.indexOf(b.severity) || b.count - a.count,
  );
  return { ...timesOf(known), workloads, findings: findings.slice(0, findingsMax), elsewhere };
}

function findingsOf({ status }: ScopeRecord): Found[] {
  const found: Found[] = [];
  const ready = conditionIn(status, 'Ready');
  const scoped = conditionIn(status, 'Scoped');
  if (ready?.status === 'False' && isWorrying(ready))
    found.push({ id: ready.reason, severity: 'blocks', sentence: ready.message });
  for (const type of ['WithdrawalPending', 'HostsLeftOut']) {
    const told = conditionIn(status, type);
    if (told?.status === 'True')
      found.push({ id: told.reason, severity: 'differs', sentence: told.message });
  }
  if (status?.expiry?.reason === 'ShrinkGuard') {
    const sentence =
      'Many hosts are unused at once, so the guard keeps them: look whether traffic has moved';
    found.push({ id: 'ShrinkGuard', severity: 'note', sentence: `${sentence}.` });
  }
  if (status?.mode === 'observe' && ready?.status === 'True' && scoped?.status !== 'True') {
    const hosts = counted(status.hostCount, 'host');
    const sentence = `Could be narrowed to ${hosts}: set mode enforce.`;
    found.push({ id: 'Observing', severity: 'note', sentence });
  }
  return found;
}

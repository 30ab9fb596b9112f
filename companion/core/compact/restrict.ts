import type { CompactRecord, Seen } from './records.ts';

/**
 * The part of a record that is for callers in some namespaces; undefined if they do not see the
 * object. Nothing of other namespaces is left in it.
 */
export function restrictTo(
  record: CompactRecord,
  namespaces: ReadonlySet<string>,
): CompactRecord | undefined {
  switch (record.type) {
    case 'host': {
      const { seen, rules, ...host } = record.host;
      const part = seenBy(seen, namespaces);
      if (part === 'nobody') return undefined;
      const kept =
        rules && Object.entries(rules).filter(([from]) => from === '*' || namespaces.has(from));
      return {
        type: 'host',
        host: {
          ...host,
          ...(part && { seen: part }),
          ...(kept && kept.length > 0 && { rules: Object.fromEntries(kept) }),
        },
      };
    }
    case 'rule': {
      const { seen, ...rule } = record.rule;
      const part = seenBy(seen, namespaces);
      if (part === 'nobody') return undefined;
      return { type: 'rule', rule: { ...rule, ...(part && { seen: part }) } };
    }
    case 'namespace':
      return namespaces.has(record.namespace.name) ? record : undefined;
    default:
      return record;
  }
}

/** Equal for sets of namespaces to which a record is restricted in the same way. */
export function whichPart(record: CompactRecord, namespaces: ReadonlySet<string>): string {
  const here = (names: object | undefined) =>
    Object.keys(names ?? {}).filter((name) => namespaces.has(name));
  switch (record.type) {
    case 'host': {
      const { seen, rules } = record.host;
      const seeing = here(seen);
      return JSON.stringify([seeing, seeing.length === namespaces.size, here(rules)]);
    }
    case 'rule': {
      const seeing = here(record.rule.seen);
      return JSON.stringify([seeing, seeing.length === namespaces.size]);
    }
    case 'namespace':
      return String(namespaces.has(record.namespace.name));
    default:
      return '';
  }
}

/** Whether every node gets the record as it is. */
export function isForEveryNode(record: CompactRecord): boolean {
  if (record.type === 'mesh') return true;
  if (record.type === 'rule') return record.rule.seen === undefined;
  if (record.type !== 'host') return false;
  const { seen, rules } = record.host;
  return seen === undefined && Object.keys(rules ?? {}).every((from) => from === '*');
}

function seenBy(
  seen: Seen | undefined,
  namespaces: ReadonlySet<string>,
): Seen | undefined | 'nobody' {
  if (!seen) return undefined;
  const here = Object.entries(seen).filter(([from]) => namespaces.has(from));
  if (here.length === 0) return 'nobody';
  const isForAll = here.length === namespaces.size && here.every(([, how]) => how === 'all');
  return isForAll ? undefined : Object.fromEntries(here);
}

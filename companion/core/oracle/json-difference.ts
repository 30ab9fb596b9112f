import { canonical } from '../scope/canonical.ts';
import { isObject, type Json, labelOf } from './config-dump.ts';

export type JsonDifference = {
  /** Fields and elements from the outside inwards; empty where the whole value differs. */
  path: readonly string[];
  full: Json;
  narrowed: Json;
};

/** Lists of which Envoy takes any element that matches, whatever their order. */
const anyOf = new Set([
  'domains',
  'server_names',
  'application_protocols',
  'prefix_ranges',
  'match_typed_subject_alt_names',
]);

/**
 * Every innermost place where two values differ. Elements of a list that have names of their own
 * are compared by name, and then their order; all others by place.
 */
export function* jsonDifferences(
  full: Json,
  narrowed: Json,
  path: readonly string[] = [],
): Generator<JsonDifference> {
  if (Array.isArray(full) && Array.isArray(narrowed)) {
    yield* listDifferences(full, narrowed, path);
    return;
  }
  if (isObject(full) && isObject(narrowed)) {
    for (const field of new Set([...Object.keys(full), ...Object.keys(narrowed)]))
      yield* jsonDifferences(full[field], narrowed[field], [...path, field]);
    return;
  }
  if (full !== narrowed) yield { path, full, narrowed };
}

function* listDifferences(
  full: readonly Json[],
  narrowed: readonly Json[],
  path: readonly string[],
): Generator<JsonDifference> {
  const field = path.at(-1) ?? '';
  if (anyOf.has(field)) {
    const [all, left] = [full, narrowed].map((list) => list.map(canonical).sort());
    if (canonical(all) !== canonical(left)) yield { path, full, narrowed };
    return;
  }
  const [all, left] = [byLabel(full), byLabel(narrowed)];
  for (const label of new Set([...all.keys(), ...left.keys()])) {
    const inner = [...path.slice(0, -1), `${field}[${label}]`];
    yield* jsonDifferences(all.get(label), left.get(label), inner);
  }
  const [before, after] = [[...all.keys()], [...left.keys()]];
  const isSame = before.length === after.length && before.every((label) => left.has(label));
  if (isSame && before.join('\n') !== after.join('\n'))
    yield { path: [...path, 'order'], full: before, narrowed: after };
}

/** By name where all have one and no two the same. */
function byLabel(list: readonly Json[]): Map<string, Json> {
  const named = new Map(list.map((each, index) => [labelOf(each, index), each]));
  if (named.size === list.length) return named;
  return new Map(list.map((each, index) => [String(index), each]));
}

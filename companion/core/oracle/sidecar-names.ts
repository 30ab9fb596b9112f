import type { JsonDifference } from './json-difference.ts';

/** Where istiod writes the name of a Sidecar, with what may stand around it. */
const places: { path: string; name: RegExp }[] = [
  { path: 'filter_metadata > istio > config', name: /^(.*\/sidecar\/)([^/]+)()$/ },
  { path: 'decorator > operation', name: /^()([^.:/]+)(\..*)$/ },
];

const ownName = /^lazyscope-/;

/** Whether two values differ in the name of the Sidecar alone, and the narrowed one is ours. */
export function isOfSidecar({ path, full, narrowed }: JsonDifference): boolean {
  const place = places.find((each) => path.join(' > ').endsWith(each.path));
  if (!place) return false;
  const [before, after] = [full, narrowed].map((value) => place.name.exec(String(value)));
  if (!before || !after) return false;
  return before[1] === after[1] && before[3] === after[3] && ownName.test(after[2] ?? '');
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { readMetrics } from '../../command/mesh/istiod.ts';

/**
 * `/metrics` of real istiods, as bench/record-istiod.ts recorded them.
 * What no test can drive an istiod to is made from a recording by the functions below, which refuse
 * series that a real istiod does not have.
 */
export type Istiod = 'healthy' | 'crowded' | 'expiring' | 'slow' | 'wrong' | 'sizes';

const read = (name: string) =>
  gunzipSync(readFileSync(join(import.meta.dirname, 'istiod', `${name}.gz`))).toString();

export const recorded = (name: Istiod): string => read(name);

/** Another value of a series that is in the recording with exactly these labels. */
export function changed(text: string, series: string, value: number): string {
  const lines = text.split('\n');
  const found = lines.flatMap((line, index) => (line.startsWith(`${series} `) ? [index] : []));
  if (found.length !== 1)
    throw new Error(`${series} is in the recording ${found.length} times, and not once`);
  return lines.with(found[0] ?? 0, `${series} ${value}`).join('\n');
}

/** The recorded istiod an hour after its start, in which nothing else has happened. */
export const later = (text: string) => changed(text, 'istiod_uptime_seconds', 3_600);

/**
 * A counter that istiod exports, by its own list, but only from its first count on. Where it has
 * counted for other values of its labels, the labels are the same ones.
 */
export function firstCounted(text: string, name: string, labels: string, value: number): string {
  if (!read('exported').split('\n').includes(`${name} Sum`))
    throw new Error(`${name} is no counter that istiod exports`);
  const keys = (each: object) => Object.keys(each).sort().join();
  const [known] = readMetrics(text).get(name) ?? [];
  const [given] = readMetrics(`${name}{${labels}} 0`).get(name) ?? [];
  if (text.includes(`\n${name}{${labels}}`))
    throw new Error(`${name} has counted in the recording: change it there`);
  if (known && keys(known.labels) !== keys(given?.labels ?? {}))
    throw new Error(`${name} has the labels ${keys(known.labels)}, and not {${labels}}`);
  return `${text}\n${name}{${labels}} ${value}\n`;
}

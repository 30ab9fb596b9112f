import { callOf, type Line, type ReadLine } from './access-log.ts';

/**
 * A format of the user's own, as in `accessLogFormat` of the mesh configuration: text with command
 * operators of Envoy, or JSON whose values are operators.
 */

type Piece = { operator: string; literal: string };

const operators = {
  cluster: /^UPSTREAM_CLUSTER(_RAW)?(\(.*\))?$/,
  time: /^START_TIME(\(.*\))?$/,
} as const;

/** Throws if the format has no UPSTREAM_CLUSTER: no line would say where a call went. */
export function readerOfFormat(format: string): ReadLine {
  const text = format.trim();
  return text.startsWith('{') ? jsonReader(text) : textReader(text);
}

function noCluster(): Error {
  return new Error('%UPSTREAM_CLUSTER% is not in it, so no line says where a call went');
}

function textReader(format: string): ReadLine {
  const [before = '', ...rest] = format.split(/%([A-Z][A-Z0-9_]*(?:\([^)]*\))?(?::\d+)?)%/);
  const pieces: Piece[] = [];
  for (let at = 0; at < rest.length; at += 2)
    pieces.push({ operator: (rest[at] ?? '').replace(/:\d+$/, ''), literal: rest[at + 1] ?? '' });
  const cluster = pieces.findIndex(({ operator }) => operators.cluster.test(operator));
  if (cluster < 0) throw noCluster();
  const time = pieces.findIndex(({ operator }) => operators.time.test(operator));
  return (line) => {
    const values = valuesOf(line, before, pieces);
    if (!values) return { broken: 'it does not follow the format' };
    return timed(values[cluster] ?? '', values[time]);
  };
}

/**
 * The value of each operator: up to the next occurrence of the text behind it. One pass without
 * backtracking, so that no line takes long.
 */
function valuesOf(line: string, before: string, pieces: readonly Piece[]): string[] | undefined {
  if (!line.startsWith(before)) return undefined;
  const values: string[] = [];
  let from = before.length;
  for (const [index, { literal }] of pieces.entries()) {
    const isLast = index === pieces.length - 1;
    const end = line.length - literal.length;
    const to = !isLast ? line.indexOf(literal, from) : line.endsWith(literal) ? end : -1;
    if (to < from) return undefined;
    values.push(line.slice(from, to));
    from = to + literal.length;
  }
  return values;
}

function jsonReader(format: string): ReadLine {
  const keys = Object.entries(JSON.parse(format) as Record<string, unknown>);
  const keyOf = (wanted: RegExp) =>
    keys.find(([, value]) => wanted.test(/^%(.*)%$/.exec(String(value))?.[1] ?? ''))?.[0];
  const cluster = keyOf(operators.cluster);
  if (cluster === undefined) throw noCluster();
  const time = keyOf(operators.time);
  return (line) => {
    try {
      const value = JSON.parse(line) as Record<string, unknown>;
      if (!(cluster in value)) return { broken: `JSON without ${cluster}` };
      return timed(String(value[cluster] ?? '-'), time && String(value[time]));
    } catch {
      return { broken: 'it is no JSON' };
    }
  };
}

function timed(cluster: string, time: string | undefined): Line {
  const at = Date.parse(time ?? '');
  return callOf(cluster === '' ? '-' : cluster, Number.isNaN(at) ? undefined : at);
}

import { InvalidArgumentError, Option } from 'commander';
import type { Ask } from '../core/istio-metrics.ts';
import { createPrometheus } from './prometheus.ts';
import type { Session } from './verb.ts';

/** The options of verbs that ask a Prometheus. */
export const prometheusOptions = [
  new Option('--prometheus <address>', 'URL, or namespace/service:port by the API server'),
  new Option('--range <duration>', 'how far to look back in Prometheus, for example 12h or 30d')
    .default('7d')
    .argParser(readRange),
  new Option('--prometheus-token <file>', 'a file with a bearer token for Prometheus'),
  new Option('--prometheus-match <matchers>', 'only these series, for example cluster="east"'),
];

/** A Prometheus as the options name it; only if `--prometheus` is given. */
export function readPrometheus(session: Session): { ask: Ask; rangeMs: number; matchers: string } {
  const { options, out, cluster } = session;
  const { range } = options;
  return {
    ask: createPrometheus({
      ...{ address: options.prometheus as string, now: session.now(), cluster, warn: out.warn },
      tokenFile: options.prometheusToken as string | undefined,
    }),
    rangeMs: typeof range === 'number' ? range : readRange(String(range)),
    matchers: (options.prometheusMatch as string | undefined) ?? '',
  };
}

const units: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds of `30m`, `12h`, `7d`, `4w`. */
function readRange(text: string): number {
  const [, count = '', unit = ''] = /^(\d+)([mhdw])$/.exec(text) ?? [];
  const ms = Number(count) * (units[unit] ?? 0);
  if (ms >= 10 * 60_000) return ms;
  throw new InvalidArgumentError('It is no number of m, h, d or w, or is less than 10m.');
}

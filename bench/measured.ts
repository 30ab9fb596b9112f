import { barsOf, evenAt, megabytes } from './picture.ts';
import type { Result } from './result.ts';

/**
 * The table of measured results in the README, with the command for each.
 */

export type Results = { [name: string]: Result | undefined };

type Line = { what: string; value: string; command: string };

/** One line per benchmark with kept results; a benchmark without results has no line. */
export function measuredTable(results: Results): string {
  const lines = Object.entries(sections).flatMap(([name, section]) => {
    const result = results[name];
    const command = `npm run -s bench -- ${name}`;
    return result ? section(result, results).map((line) => ({ ...line, command })) : [];
  });
  return [
    '| what | measured | command |',
    '|---|---|---|',
    ...lines.map(({ what, value, command }: Line) => `| ${what} | ${value} | \`${command}\` |`),
  ].join('\n');
}

type Section = (result: Result, all: Results) => Omit<Line, 'command'>[];

const sections: Record<string, Section> = {
  memory(result, all) {
    const bars = barsOf(result);
    const sizes = bars.map(({ services, full, scoped }) => ({
      what: `sidecar in a mesh of ${count(services)} services, whole mesh / scoped with the filter`,
      value: `${megabytes(full)} / ${megabytes(scoped)}`,
    }));
    return [
      ...sizes,
      {
        what: 'size of the mesh at which both take the same memory',
        value: `${Math.round(evenAt(bars))} services`,
      },
      ...sidecarsPerCompanion(all, bars),
    ];
  },
  activation: (result) => [
    {
      what: 'time from the first answer until a request takes the real route, p50 / p99',
      value: `${value(result, /services/, 'p50')} / ${value(result, /services/, 'p99')} ms`,
    },
  ],
  'first-call': (result) =>
    result.rows.some(({ metric }) => metric.startsWith('cold call'))
      ? firstCallAgainstCold(result)
      : firstCallAgainstWarm(result),
  filter(result) {
    const ratios = result.rows
      .filter(({ metric }) => metric === 'ours / no-op')
      .map((row) => row.value);
    const [least, most] = [Math.min(...ratios), Math.max(...ratios)];
    return [
      {
        what: 'Envoy CPU per request with the filter, relative to a Wasm filter that does nothing',
        value: `${least.toFixed(2)} to ${most.toFixed(2)} times`,
      },
    ];
  },
  enable: (result) => [
    {
      what: 'enabling 8 workloads among 1,000 services: time until all are scoped; CPU of istiod; bytes pushed',
      value:
        `${value(result, /^1000 services/, 'until every proxy is scoped')} s; ` +
        `${value(result, /^1000 services/, 'istiod CPU for it')} s; ` +
        `${value(result, /^1000 services/, 'bytes pushed for it')} MB`,
    },
  ],
  istiod: (result) => [
    {
      what: 'istiod with 200 proxies and 5,000 services under churn, scoped relative to full: bytes sent; CPU; memory',
      value:
        `${value(result, /proxies$/, 'sent, scoped / full').toFixed(3)}; ` +
        `${value(result, /proxies$/, 'CPU, scoped / full').toFixed(3)}; ` +
        `${(value(result, /scoped$/, 'RSS of istiod, peak') / value(result, /full$/, 'RSS of istiod, peak')).toFixed(3)} times`,
    },
  ],
  scale: (result) => [
    {
      what: 'a controller with 1,000 nodes, 10,000 pods and 10,000 services under churn: peak memory; answers p99 at most; ready after a restart',
      value:
        `${Math.round(value(result, /churn$/, 'RSS, peak'))} MB; ` +
        `${value(result, /churn$/, 'answer in the controller, p99 at most')} ms; ` +
        `${value(result, /restart$/, 'until ready').toFixed(1)} s`,
    },
  ],
  ingest: (result) => [
    {
      what: 'node companion: observations a second, and its peak memory',
      value: `${count(Math.round(value(result, /^node, steady$/, 'observations') / 1000) * 1000)}/s at ${Math.round(value(result, /^node, steady$/, 'RSS, peak'))} MB`,
    },
  ],
  bypass(result) {
    const spread = (metric: string) => {
      const ratios = result.rows
        .filter((row) => row.case.startsWith('sidecars') && row.metric === `${metric}, on / off`)
        .map((row) => row.value);
      return `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
    };
    return [
      {
        what: 'two sidecars with mTLS on one node, with the bypass relative to without: p50; CPU per request',
        value: `${spread('p50')}; ${spread('cpu')} times`,
      },
    ];
  },
};

type Lines = Omit<Line, 'command'>[];

function firstCallAgainstCold(result: Result): Lines {
  const added = (name: string) => value(result, new RegExp(`^${name}$`), 'added, p50');
  const cold = value(result, /^direct$/, 'cold call, full configuration, p50');
  const question = (share: string) => value(result, /^question/, `${share} at most`);
  return [
    {
      what: 'added to the first call of a connection with full configuration by direct / gateway / hold, p50',
      value: `${added('direct')} / ${added('gateway')} / ${added('hold')} ms`,
    },
    {
      what: 'that call with full configuration; a call on an open connection, p50',
      value: `${cold} ms; ${value(result, /^full configuration$/, 'warm call, p50')} ms`,
    },
    {
      what: 'the question to the node companion as filters see it, p50 / p99 at most',
      value: `${question('p50')} / ${question('p99')} ms`,
    },
  ];
}

/** Results from before first calls were compared with cold ones. */
function firstCallAgainstWarm(result: Result): Lines {
  const first = ['gateway', 'direct', 'hold'].map((name) =>
    value(result, new RegExp(`^${name}$`), 'first call, p50'),
  );
  return [
    {
      what: 'first call by gateway / direct / hold, p50; a warm call',
      value: `${first.join(' / ')} ms; ${value(result, /^gateway$/, 'warm call, p50')} ms`,
    },
  ];
}

/** The number of scoped sidecars on a node that save as much as its idle companion takes. */
function sidecarsPerCompanion(
  { ingest }: Results,
  bars: ReturnType<typeof barsOf>,
): Omit<Line, 'command'>[] {
  if (!ingest) return [];
  const companion = value(ingest, /^node, idle$/, 'RSS');
  const needed = bars.map(({ full, scoped }) => Math.ceil(companion / (full - scoped)));
  const sizes = bars.map(({ services }) => count(services)).join(' / ');
  return [
    {
      what: `scoped sidecars on a node that save as much as its companion takes (${companion} MB), at ${sizes} services`,
      value: needed.join(' / '),
    },
  ];
}

function value({ name, rows }: Result, subject: RegExp, metric: string): number {
  const row = rows.find((each) => subject.test(each.case) && each.metric === metric);
  if (!row)
    throw new Error(`${name}.json has no row ${subject}, ${metric}: run the benchmark again`);
  return row.value >= 10 ? Math.round(row.value * 10) / 10 : row.value;
}

function count(number: number): string {
  return number.toLocaleString('en-US');
}

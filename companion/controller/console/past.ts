import type { EdgeCalls } from '../../core/history/edges.ts';
import type { Access } from './access.ts';
import type { Prometheus, Series } from './prometheus.ts';

/**
 * Times before the history, from Prometheus: the controllers' own metrics by workload, and Istio's
 * standard metrics for who called whom. All queries are here; of a request only namespaces, names
 * and hosts that the replica knows go into them.
 */
export type Past = {
  /** Milliseconds since the epoch; undefined while unknown. Answers at once. */
  oldestAt(): number | undefined;
  /** Sums over the workloads that a user may see, or the figures of one workload. */
  figures(access: Access, of: FiguresOf): Promise<PastFigures>;
  /** Calls that ended at `to`, of the last `minutes`; by the callers, and of others to `hosts`. */
  edges(access: Access, of: EdgesOf): Promise<{ edges: EdgeCalls[]; from: number; to: number }>;
};

/** `workload` undefined: the sum over the namespace; if that is empty, too, over all. */
export type FiguresOf = {
  namespace?: string;
  workload?: { namespace: string; name: string } | undefined;
  days: number;
};

export type PastFigures = {
  from: number;
  binMs: number;
  /** Bytes, with a zero for each bin without a measurement; `full`: without scopes. */
  memory: number[];
  full: number[];
  clusters: number[];
  /** The same without scopes; none from Prometheus, which has no metric of it. */
  fullClusters: number[];
};

export type EdgesOf = {
  to: number;
  minutes: number;
  /** Empty: all. */
  namespace: string;
  /** Empty: all of the namespace. */
  workload: string;
  /** Hosts as `namespace/host`, whose callers are wanted, too. */
  hosts: readonly string[];
};

const minute = 60_000;
const day = 1_440 * minute;
/** Bins of a chart: more would be narrower than a pixel. */
const binsMax = 365;
/** Longest time that is looked for: two years are longer than any usual retention. */
export const pastDaysMax = 731;
const extentMs = { asked: 10 * minute, failed: minute };
/** Two scrapes of a minute must lie in the time over which an increase is taken. */
const minutesMin = 5;
/** More pairs than the history itself has are not asked for. */
const edgesMax = 20_000;
/** Hosts that one workload serves, in a query. */
const hostsMax = 100;

type Options = { prometheus: Prometheus; now: () => number };

export function createPast({ prometheus, now }: Options): Past {
  let oldest: number | undefined;
  let askAgainAt = 0;

  /** Controllers report `leader` from their first moment on. */
  async function look(): Promise<void> {
    const to = Math.floor(now() / day) * day + day;
    const from = to - pastDaysMax * day;
    const query = 'count(max_over_time(lazyscope_controller_leader[1d]))';
    const [found] = await prometheus.ask(query, { from, to, stepMs: day });
    const first = found?.values[0]?.[0];
    // The value of a step is of the day before it.
    oldest = first === undefined ? undefined : first - day;
  }

  return {
    oldestAt() {
      if (now() >= askAgainAt) {
        askAgainAt = now() + extentMs.asked;
        look().catch(() => {
          askAgainAt = now() + extentMs.failed;
        });
      }
      return oldest;
    },
    figures: (access, of) => figures(prometheus, now(), access, of),
    edges: (access, of) => edges(prometheus, access, of),
  };
}

/** Both replicas report every workload. */
const workloadsOf = (name: string, labels: string) =>
  `max by (workload_namespace, workload) (lazyscope_controller_workload_${name}${labels})`;

async function figures(
  prometheus: Prometheus,
  now: number,
  access: Access,
  { namespace = '', workload, days }: FiguresOf,
): Promise<PastFigures> {
  const binMs = Math.max(5 * minute, Math.ceil((days * day) / binsMax / minute) * minute);
  const to = Math.floor(now / minute) * minute;
  const bins = Math.floor((days * day) / binMs);
  const times = { from: to - (bins - 1) * binMs, to, stepMs: binMs };
  const labels = workload
    ? `{workload_namespace=${quoted(workload.namespace)},workload=${quoted(workload.name)}}`
    : withLabels([
        allowedBy('workload_namespace', access),
        namespace === '' ? undefined : `workload_namespace=${quoted(namespace)}`,
      ]);
  const [bytes, saved, clusters, proxies] = [
    'memory_bytes',
    'memory_saved_bytes',
    'clusters',
    'proxies',
  ].map((name) => workloadsOf(name, labels));
  const each = workload ? ` / ${proxies}` : '';
  const ask = async (query: string) => {
    const [series] = await prometheus.ask(`sum(${query})`, times);
    const values = new Array<number>(bins).fill(0);
    for (const [at, value] of series?.values ?? []) {
      const bin = Math.round((at - times.from) / binMs);
      if (bin >= 0 && bin < bins && Number.isFinite(value)) values[bin] = value;
    }
    return values;
  };
  // One after the other, so that one page takes one place of those at the same time.
  const memory = await ask(`${bytes}${each}`);
  const full = await ask(`(${bytes} + ${saved})${each}`);
  const found = { memory, full, clusters: await ask(String(clusters)), fullClusters: [] };
  return { from: times.from, binMs, ...found };
}

const caller = 'source_workload_namespace, source_workload';
const called = 'destination_service, destination_service_namespace';
const counters = ['istio_requests_total', 'istio_tcp_connections_opened_total'];

async function edges(prometheus: Prometheus, access: Access, of: EdgesOf) {
  const { namespace, workload, hosts } = of;
  const minutes = Math.max(minutesMin, of.minutes);
  // To the minute, so that those who look at the same time get the same answer.
  const to = Math.ceil(of.to / minute) * minute;
  const times = { from: to, to, stepMs: minute };
  // Of two rules on one label both hold, so the right to see is never left out.
  const own = [
    allowedBy('source_workload_namespace', access),
    namespace === '' ? undefined : `source_workload_namespace=${quoted(namespace)}`,
    workload === '' ? undefined : `source_workload=${quoted(workload)}`,
  ];
  const names = hosts.slice(0, hostsMax).map((entry) => entry.replace(/^[^/]*\//, ''));
  const callers = [
    allowedBy('source_workload_namespace', access),
    `destination_service=~${quoted(names.map(literal).join('|'))}`,
  ];
  const isOwn = ({ labels }: Series) =>
    labels.source_workload_namespace === namespace && labels.source_workload === workload;
  const found = new Map<string, EdgeCalls>();
  for (const name of counters) {
    const ask = (labels: readonly (string | undefined)[]) => {
      const series = `${name}${withLabels(['reporter="source"', ...labels])}`;
      return prometheus.ask(edgesQuery(series, minutes), times);
    };
    for (const series of await ask(own)) note(found, series, to);
    const others = names.length > 0 ? await ask(callers) : [];
    for (const series of others) if (!isOwn(series)) note(found, series, to);
  }
  return { edges: [...found.values()], from: to - minutes * minute, to };
}

/**
 * `increase` needs two values, and the counter of a new pair appears with its first one. So what
 * was not there before counts as one call.
 */
function edgesQuery(series: string, minutes: number): string {
  const over = `${series}[${minutes}m]`;
  const isNew = `(last_over_time(${over}) unless last_over_time(${over} offset ${minutes}m)) * 0 + 1`;
  const sums = `sum by (${caller}, ${called}) (increase(${over}) > 0 or ${isNew})`;
  return `topk(${edgesMax}, ${sums})`;
}

function note(found: Map<string, EdgeCalls>, { labels, values }: Series, at: number): void {
  const { source_workload_namespace: namespace = '', source_workload: workload = '' } = labels;
  const { destination_service: service = '', destination_service_namespace: of = '' } = labels;
  // Istio writes `unknown` where it knows nothing.
  if ([namespace, workload, service].some((name) => name === '' || name === 'unknown')) return;
  const name = service.toLowerCase().replace(/:\d+$/, '');
  const host = `${of === '' || of === 'unknown' ? namespace : of}/${name}`;
  const key = JSON.stringify([namespace, workload, host]);
  const counted = values.at(-1)?.[1] ?? 0;
  if (!(counted > 0)) return;
  const calls = (found.get(key)?.calls ?? 0) + counted;
  // Since when and until when it was called is not asked.
  found.set(key, { namespace, workload, host, calls, total: calls, firstAt: 0, lastAt: at });
}

/** Undefined for a user who may see everything. */
function allowedBy(label: string, { all, namespaces }: Access): string | undefined {
  return all ? undefined : `${label}=~${quoted([...namespaces].sort().map(literal).join('|'))}`;
}

function withLabels(labels: readonly (string | undefined)[]): string {
  return `{${labels.filter((each) => each !== undefined).join(',')}}`;
}

/** A string of PromQL, which has the escapes of Go: those of JSON among them. */
const quoted = (text: string) => JSON.stringify(text);

/** A part of a regular expression that matches nothing but the text. */
const literal = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');

import { createRateLimit } from '../../bounds/rate.ts';
import { messageOf } from '../../frame/errors.ts';
import type { ControllerMetrics } from '../metrics.ts';

/** The only access of the controllers to a Prometheus, or to what has its API: Thanos, Mimir. */
export type Prometheus = {
  /**
   * The values of a query at one time, or at each step of a range; times in milliseconds since the
   * epoch. Throws a `NoAnswer`, whose text may be shown to users.
   */
  ask(query: string, times: { from: number; to: number; stepMs: number }): Promise<Series[]>;
};

/** `values`: pairs of milliseconds since the epoch and the value; steps without one are absent. */
export type Series = { labels: Readonly<Record<string, string>>; values: [number, number][] };

export class NoAnswer extends Error {}

type Options = {
  /** What comes before `/api/v1`. */
  address: string;
  metrics: Pick<ControllerMetrics, 'prometheusQueries'>;
  now: () => number;
  /** Tells an operator why there was no answer. */
  onFailure(reason: string): void;
};

/** Half of what a proxy in front of the page usually waits; told to Prometheus, too. */
const timeoutMs = 10_000;
/** 20,000 series with four labels have about 6 MB. */
const bytesMax = 16e6;
/** Over all users, because each may cost Prometheus a core for seconds. */
const atOnceMax = 4;
const rate = { perSecond: 4, burst: 40 };
/** A page asks again after five seconds, and several users look at the same. */
const remembered = { ms: 60_000, answers: 32 };

export function createPrometheus(options: Options): Prometheus {
  const { metrics, now, onFailure } = options;
  const limit = createRateLimit(rate, now);
  const answers = new Map<string, { series: Promise<Series[]>; until: number }>();
  let running = 0;

  async function fresh(form: URLSearchParams): Promise<Series[]> {
    if (running >= atOnceMax || !limit.take('')) {
      metrics.prometheusQueries.inc({ outcome: 'refused' });
      throw new NoAnswer('too many questions to Prometheus at once; wait some seconds');
    }
    running += 1;
    try {
      const series = await fetchSeries(options.address, form);
      metrics.prometheusQueries.inc({ outcome: 'done' });
      return series;
    } catch (error) {
      metrics.prometheusQueries.inc({ outcome: 'failed' });
      // Only a text of ours is shown: other texts may have addresses or labels of other tenants.
      onFailure(reasonOf(error));
      throw new NoAnswer(
        error instanceof NoAnswer ? error.message : 'Prometheus cannot be reached',
      );
    } finally {
      running -= 1;
    }
  }

  return {
    ask(query, { from, to, stepMs }) {
      const seconds = (ms: number) => String(ms / 1_000);
      const form = new URLSearchParams({
        ...{ query, start: seconds(from), end: seconds(to), step: seconds(stepMs) },
        timeout: `${timeoutMs / 1_000}s`,
      });
      const key = form.toString();
      const known = answers.get(key);
      if (known && known.until > now()) return known.series;
      const series = fresh(form);
      answers.delete(key);
      answers.set(key, { series, until: now() + remembered.ms });
      series.catch(() => answers.delete(key));
      const [oldest] = answers.keys();
      if (answers.size > remembered.answers && oldest !== undefined) answers.delete(oldest);
      return series;
    },
  };
}

async function fetchSeries(address: string, form: URLSearchParams): Promise<Series[]> {
  const signal = AbortSignal.timeout(timeoutMs);
  // In the body, because the namespaces of a tenant may be too long for an address.
  const request = { method: 'POST', body: form, redirect: 'error', signal } as const;
  let response: Response;
  let text: string;
  try {
    response = await fetch(`${address.replace(/\/+$/, '')}/api/v1/query_range`, request);
    text = await textOf(response);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new NoAnswer(`Prometheus did not answer within ${timeoutMs / 1_000} s`);
  }
  let answer: Answer;
  try {
    answer = JSON.parse(text) as Answer;
  } catch {
    throw new NoAnswer(`Prometheus answered ${response.status}, and no JSON`);
  }
  if (answer.status !== 'success') {
    throw new NoAnswer(`Prometheus refused the question (${kindOf(answer.errorType)})`);
  }
  if (answer.data?.resultType !== 'matrix') throw new NoAnswer('Prometheus answered no matrix');
  return answer.data.result.map(({ metric, values }) => ({
    labels: metric,
    values: values.map(([at, value]) => [at * 1_000, Number(value)]),
  }));
}

type Answer = {
  status?: string;
  data?: {
    resultType: string;
    result: { metric: Record<string, string>; values: [number, string][] }[];
  };
  errorType?: string;
};

async function textOf(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.length;
    if (bytes > bytesMax) throw new NoAnswer(`Prometheus answered more than ${bytesMax / 1e6} MB`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

/** Prometheus has seven kinds, all of one word; another text is not shown. */
function kindOf(type: string | undefined): string {
  return /^[a-z_]{1,32}$/.exec(type ?? '')?.[0] ?? 'unknown';
}

function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return messageOf(cause ?? error);
}

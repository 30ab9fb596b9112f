import type { Ask, Sample } from '../core/istio-metrics.ts';
import { plainText } from '../core/table.ts';
import type { Cluster } from './cluster.ts';
import { CommandError, exitCodes } from './failure.ts';
import { readToken } from './files.ts';

/** The only access to a Prometheus, or to what has its API: Thanos, Mimir, VictoriaMetrics. */

export type PrometheusAccess = {
  /** `https://...`, or `namespace/service:port` through the API server. */
  address: string;
  /** A file with a bearer token. */
  tokenFile: string | undefined;
  /** Milliseconds since the epoch at which queries are evaluated. */
  now: number;
  cluster(): Promise<Cluster>;
  warn(text: string): void;
};

/** Prometheus itself gives up after two minutes by default (`query.timeout`). */
const queryMs = 150_000;

const inCluster = /^([a-z0-9-]+)\/([a-z0-9.-]+):([a-z0-9-]+)$/;

export function createPrometheus(access: PrometheusAccess): Ask {
  const { address, now, warn } = access;
  const send = senderOf(access);
  return async (query) => {
    const form = new URLSearchParams({ query, time: String(now / 1000) });
    const { data, warnings = [] } = readAnswer(address, await send(`/api/v1/query?${form}`));
    for (const warning of warnings) warn(`${address}: ${plainText(warning)}\n`);
    if (data?.resultType !== 'vector') throw unreadable(address, 'its answer is no vector');
    return data.result.map(({ metric, value }): Sample => ({ metric, value: Number(value[1]) }));
  };
}

type Answer = {
  status: 'success' | 'error';
  data?: {
    resultType: string;
    result: { metric: Record<string, string>; value: [number, string] }[];
  };
  errorType?: string;
  error?: string;
  warnings?: string[];
};

function readAnswer(address: string, text: string): Answer {
  let answer: Answer;
  try {
    answer = JSON.parse(text) as Answer;
  } catch {
    throw unreadable(address, `its answer is no JSON: ${plainText(text.slice(0, 80))}`);
  }
  if (answer.status === 'success') return answer;
  const remedy = /timeout|too many samples|canceled/.test(answer.error ?? '')
    ? 'ask for less: a shorter --range, one namespace (-n), or --prometheus-match'
    : 'check --prometheus-match, and that the address is that of a Prometheus';
  throw new CommandError(
    `${address}: ${answer.errorType}: ${plainText(answer.error ?? '')}`,
    remedy,
    exitCodes.data,
  );
}

function unreadable(address: string, why: string): CommandError {
  const remedy = 'give the address in front of /api/v1, with the prefix if it has one';
  return new CommandError(`--prometheus ${address}: ${why}`, remedy, exitCodes.data);
}

function senderOf(access: PrometheusAccess): (path: string) => Promise<string> {
  const { address, tokenFile, cluster } = access;
  const [, namespace = '', name = '', port = ''] = inCluster.exec(address) ?? [];
  if (name !== '') {
    return async (path) =>
      (await cluster()).fetchFrom({ kind: 'services', namespace, name, port }, path);
  }
  const base = address.replace(/\/+$/, '');
  return async (path) => {
    const headers = await headersOf(tokenFile);
    const [url, form] = path.split('?');
    let response: Response;
    try {
      // The queries are too long for some proxies in an address.
      response = await fetch(`${base}${url}`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
        body: form ?? '',
        signal: AbortSignal.timeout(queryMs),
      });
    } catch (error) {
      const { message, cause } = error as Error & { cause?: Error };
      const why = cause?.message ?? message;
      const remedy = /certificate/.test(why)
        ? 'name the file of its authority in the variable NODE_EXTRA_CA_CERTS'
        : 'check the address, or give NAMESPACE/SERVICE:PORT to reach it through the API server';
      throw new CommandError(`--prometheus ${address}: no answer: ${plainText(why)}`, remedy);
    }
    const text = await response.text();
    if (response.ok || text.startsWith('{"status"')) return text;
    const remedy =
      response.status === 401 || response.status === 403
        ? 'give a token that may query it (--prometheus-token FILE)'
        : 'give the address in front of /api/v1, with the prefix if it has one';
    throw new CommandError(`--prometheus ${address}: it answered ${response.status}`, remedy);
  };
}

async function headersOf(tokenFile: string | undefined): Promise<Record<string, string>> {
  if (tokenFile === undefined) return {};
  return { authorization: `Bearer ${await readToken(tokenFile)}` };
}

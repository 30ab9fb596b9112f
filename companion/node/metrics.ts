import type { Registry } from 'prom-client';
import { describeMetrics } from '../frame/metrics.ts';

export type NodeMetrics = ReturnType<typeof createNodeMetrics>;

/** Every metric of the node role. */
export function createNodeMetrics(registry: Registry) {
  const describe = describeMetrics(registry);
  return { ...ofPods(describe), ...ofControllers(describe) };
}

type Describe = ReturnType<typeof describeMetrics>;

/** What pods send, and what is kept of it. */
function ofPods({ counter, gauge }: Describe) {
  return {
    refused: counter(
      'node_refused_total',
      'Requests refused for their source or form, by path and reason.',
      ['path', 'reason'],
    ),
    limited: counter(
      'node_limited_total',
      'Requests refused because a pod exceeded its rate, by path.',
      ['path'],
    ),
    connectionsDropped: counter(
      'node_connections_dropped_total',
      'Connections closed at a bound, by bound.',
      ['bound'],
    ),
    pods: gauge('node_pods', 'Pods of this node whose requests are served.'),
    podsOverflow: counter(
      'node_pods_overflow_total',
      'Pods not served because the node has too many.',
    ),

    logStreams: gauge('node_log_streams', 'Open streams of access logs.'),
    logEntries: counter(
      'node_log_entries_total',
      'Entries of access logs that were read, by use (ignored: calls to the app itself).',
      ['use'],
    ),
    logDropped: counter(
      'node_log_dropped_total',
      'Messages, entries or streams of access logs that were dropped at a bound, by bound.',
      ['bound'],
    ),
    logGaps: counter(
      'node_log_gaps_total',
      'Times that entries of the access log of a proxy may have been lost, by reason.',
      ['reason'],
    ),

    reports: counter('node_reports_total', 'Reports of filters that were accepted.'),
    lastReport: gauge(
      'node_last_report_timestamp_seconds',
      'Unix time of the last accepted report of a filter.',
    ),
    observations: counter('node_observations_total', 'Entries of accepted reports.'),
    proxies: gauge('node_proxies', 'Proxies of this node that have reported.'),
    counters: gauge('node_counters', 'Counters kept: one for each destination and filter VM.'),
    evicted: counter(
      'node_evicted_total',
      'Entries evicted or refused because a table is full, by table (reported: nothing was lost).',
      ['table'],
    ),
  };
}

/** What controllers are asked and told, and what waits for them. */
function ofControllers({ counter, gauge, seconds }: Describe) {
  return {
    questions: counter('node_questions_total', 'Questions of filters, by source of the answer.', [
      'source',
    ]),
    questionSeconds: seconds(
      'node_question_seconds',
      'Time that calls waited for this companion, measured by the filters.',
      // From 0.2 to 200 ms, where a filter gives up.
      [
        0.0002, 0.0003, 0.0004, 0.0005, 0.0006, 0.0007, 0.0008, 0.0009, 0.001, 0.0012, 0.0015,
        0.002, 0.0025, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2,
      ],
    ),
    answerSeconds: seconds(
      'node_answer_seconds',
      'Time that a question waited for a controller.',
      [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2],
    ),
    lastAnswer: gauge(
      'node_last_answer_timestamp_seconds',
      'Unix time of the last answer of a controller.',
    ),
    decisions: gauge('node_decisions', 'Answers in the cache.'),
    catalogHosts: gauge('node_catalog_hosts', 'Hosts in the compact catalog.'),
    catalogCurrent: gauge(
      'node_catalog_current',
      'Whether a controller keeps the compact catalog up to date: 1 or 0.',
    ),
    corrected: counter(
      'node_answers_corrected_total',
      'Answers from the compact catalog that a controller then gave in another way.',
    ),

    held: gauge('node_held', 'Requests held now.'),
    holds: counter('node_holds_total', 'Held requests, by outcome.', ['outcome']),
    holdSeconds: seconds(
      'node_hold_seconds',
      'Time that requests were held.',
      [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1, 2],
    ),

    streams: gauge('node_controller_streams', 'Open streams to controllers.'),
    streamFailures: counter(
      'node_controller_stream_failures_total',
      'Streams to controllers that ended or did not open, by reason.',
      ['reason'],
    ),
    sent: counter('node_sent_total', 'Messages sent to controllers, by kind.', ['kind']),
    congested: counter(
      'node_congested_total',
      'Times that reports were merged because a controller was slower than this node.',
    ),

    featureWrites: counter(
      'node_feature_writes_total',
      'Times that the features of the node were published, by target (nfd, file) and outcome (done, failed, not-served: the cluster has no Node Feature Discovery).',
      ['to', 'outcome'],
    ),
    scrapes: counter('node_scrapes_total', 'Readings of the memory of proxies, by outcome.', [
      'outcome',
    ]),
  };
}

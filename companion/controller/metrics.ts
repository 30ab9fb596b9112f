import type { Registry } from 'prom-client';
import { describeMetrics } from '../frame/metrics.ts';

export type ControllerMetrics = ReturnType<typeof createControllerMetrics>;

/** Every metric of the controller role. */
export function createControllerMetrics(registry: Registry) {
  const describe = describeMetrics(registry);
  return { ...ofWrites(describe), ...ofNodes(describe), ...ofScopes(describe) };
}

type Describe = ReturnType<typeof describeMetrics>;

/** The leader and its writes. */
function ofWrites({ counter, gauge, seconds }: Describe) {
  return {
    leader: gauge('controller_leader', 'Whether this replica writes: 1 or 0.'),
    lastSync: gauge(
      'controller_last_sync_timestamp_seconds',
      'When a pass over all workloads last ended without an error.',
    ),
    writes: counter(
      'controller_writes_total',
      'Objects written, by kind, verb and outcome (done, failed, refused: the lease was gone).',
      ['kind', 'verb', 'outcome'],
    ),
    writeSeconds: seconds(
      'controller_write_seconds',
      'Time that the API server took for a write.',
      [0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    ),
    lastWrite: gauge(
      'controller_last_write_timestamp_seconds',
      'When this replica last wrote an object with success.',
    ),
    retries: counter(
      'controller_retries_total',
      'Looks at a workload that failed and are made again after a pause.',
    ),
    throttled: counter(
      'controller_writes_throttled_total',
      'Writes that had to wait for the rate over all workloads.',
    ),
    pending: gauge('controller_workloads_pending', 'Workloads that wait to be looked at.'),
  };
}

/** Messages of node companions and requests of agents. */
function ofNodes({ counter, gauge, seconds }: Describe) {
  return {
    streams: gauge('controller_node_streams', 'Node companions that are connected.'),
    streamsRefused: counter(
      'controller_streams_refused_total',
      'Streams of node companions that were refused or cut, by reason.',
      ['reason'],
    ),
    messagesDropped: counter(
      'controller_messages_dropped_total',
      'Messages of node companions that were not heard because of a bound, by reason.',
      ['reason'],
    ),
    messagesLater: counter(
      'controller_messages_later_total',
      'Reports and farewells of pods above the rate of their node: the node is asked for them again.',
    ),
    questions: counter('controller_questions_total', 'Questions answered, by strategy.', [
      'strategy',
    ]),
    heldInVain: counter(
      'controller_held_in_vain_total',
      'Answers that fell back from hold, because a host of the scope brought no route for 5 s.',
    ),
    answerSeconds: seconds(
      'controller_answer_seconds',
      'Time to decide about a question.',
      [0.0001, 0.0003, 0.001, 0.003, 0.005, 0.01, 0.03],
    ),
    filterRequests: counter(
      'controller_filter_requests_total',
      'Filters that agents asked for, by release (this, previous, unknown: no controller has what a namespace pins).',
      ['release'],
    ),
    reports: counter('controller_reports_total', 'Reports of proxies taken in.'),
  };
}

/** Learned data, and the scopes made of it. */
function ofScopes({ counter, gauge }: Describe) {
  return {
    learned: counter(
      'controller_destinations_learned_total',
      'Destinations seen for the first time.',
    ),
    expired: counter(
      'controller_destinations_expired_total',
      'Destinations that left a scope because they were not used any more.',
    ),
    overdue: gauge(
      'controller_destinations_overdue',
      'Destinations past their time that stay, by reason (ReportsMissing, Settling, ShrinkGuard).',
      ['reason'],
    ),
    withdrawn: counter(
      'controller_scopes_withdrawn_total',
      'Scopes that were taken back, by the reason that their condition says.',
      ['reason'],
    ),
    withdrawalsPending: gauge(
      'controller_withdrawals_pending',
      'Scopes that stay although proxies are silent, by reason (Budget, BelowQuorum, NodeUnheard, Deaf).',
      ['reason'],
    ),
    nodesHeard: gauge('controller_nodes_heard', 'Nodes whose companion is connected.'),
    scopesRefused: counter(
      'controller_scopes_refused_total',
      'Workloads without a WorkloadScope because their namespace has as many as it may have.',
    ),
    sentinelPorts: gauge(
      'controller_sentinel_ports',
      'HTTP ports with a listener of about 60 KB in every scoped proxy.',
    ),
    sentinelPortsLeftOut: gauge(
      'controller_sentinel_ports_left_out',
      'HTTP ports without such a listener, because there are more than 64.',
    ),
    unknownModes: gauge(
      'controller_modes_unknown',
      'Namespaces and Services whose lazyscope.io/mode is no mode; modes in force stay meanwhile.',
    ),
    ignored: counter(
      'controller_observations_ignored_total',
      'Observations that taught nothing, by reason.',
      ['reason'],
    ),
    edges: gauge('controller_edges', 'Pairs of workload and destination that are kept.'),
    edgesRefused: counter(
      'controller_edges_refused_total',
      'Sightings refused because a workload has too many destinations.',
    ),
    catalog: gauge('controller_catalog_entries', 'Entries of the catalog, by index.', ['index']),
    proxies: gauge('controller_proxies', 'Proxies that node companions report.'),
    workloads: gauge('controller_workloads', 'Workloads of enabled namespaces, by mode.', ['mode']),
  };
}

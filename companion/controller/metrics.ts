import type { Registry } from 'prom-client';
import { describeMetrics } from '../frame/metrics.ts';

export type ControllerMetrics = ReturnType<typeof createControllerMetrics>;

/** Every metric of the controller role. */
export function createControllerMetrics(registry: Registry) {
  const describe = describeMetrics(registry);
  return {
    ...ofWrites(describe),
    ...ofNodes(describe),
    ...ofScopes(describe),
    ...ofWorkloads(describe),
    ...ofHistory(describe),
    ...ofConsole(describe),
  };
}

type Describe = ReturnType<typeof describeMetrics>;

/** The leader and its writes. */
function ofWrites({ counter, gauge, seconds }: Describe) {
  return {
    leader: gauge('controller_leader', 'Whether this replica leads and writes: 1 or 0.'),
    lastSync: gauge(
      'controller_last_sync_timestamp_seconds',
      'Unix time of the last pass over all workloads that ended without an error.',
    ),
    writes: counter(
      'controller_writes_total',
      'Objects written, by kind, verb and outcome (done, failed, refused: this replica no longer holds the Lease).',
      ['kind', 'verb', 'outcome'],
    ),
    writeSeconds: seconds(
      'controller_write_seconds',
      'Time that the API server took for a write.',
      [0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    ),
    lastWrite: gauge(
      'controller_last_write_timestamp_seconds',
      'Unix time of the last successful write of this replica.',
    ),
    retries: counter(
      'controller_retries_total',
      'Failed evaluations of a workload, each retried after a pause.',
    ),
    throttled: counter(
      'controller_writes_throttled_total',
      'Writes delayed by the rate limit over all workloads.',
    ),
    pending: gauge('controller_workloads_pending', 'Workloads that wait for an evaluation.'),
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
      'Messages of node companions that were dropped at a bound, by reason.',
      ['reason'],
    ),
    messagesLater: counter(
      'controller_messages_later_total',
      'Reports and farewells above the rate of a node, which the controller requests again.',
    ),
    questions: counter('controller_questions_total', 'Questions answered, by strategy.', [
      'strategy',
    ]),
    heldInVain: counter(
      'controller_held_in_vain_total',
      'Answers that fell back from hold, because an imported host had no route after 5 s.',
    ),
    answerSeconds: seconds(
      'controller_answer_seconds',
      'Time to answer a question.',
      [0.0001, 0.0003, 0.001, 0.003, 0.005, 0.01, 0.03],
    ),
    catalogFollowers: gauge(
      'controller_catalog_followers',
      'Nodes that follow this replica, by state (fed; in-part: some hosts without their servers; too-large: they get no compact catalog).',
      ['state'],
    ),
    catalogShortHosts: gauge(
      'controller_catalog_short_hosts',
      'Hosts that did not fit into the compact catalog of a node, which asks about them: the most of any node.',
    ),
    catalogParts: counter('controller_catalog_parts_total', 'Parts of the compact catalog sent.'),
    filterRequests: counter(
      'controller_filter_requests_total',
      'Filters that agents requested, by release (this, previous, unknown: no controller has the pinned filter).',
      ['release'],
    ),
    reports: counter('controller_reports_total', 'Accepted reports of proxies.'),
  };
}

/** The page and its users. */
function ofConsole({ counter, gauge }: Describe) {
  return {
    consoleRequests: counter('controller_console_requests_total', 'Requests of the page.'),
    consoleRefused: counter(
      'controller_console_refused_total',
      'Requests of the page that were refused, by reason (token, permission, rate, streams, review: the API server did not answer).',
      ['reason'],
    ),
    consoleStreams: gauge('controller_console_streams', 'Pages that follow changes live.'),
    prometheusQueries: counter(
      'controller_prometheus_queries_total',
      'Queries of the page for older times, by outcome (done, failed, refused at a bound).',
      ['outcome'],
    ),
  };
}

/** What the replica remembers of the past. */
function ofHistory({ gauge }: Describe) {
  return {
    historyEdges: gauge('controller_history_edges', 'Pairs of workload and host in the history.'),
    historyBytes: gauge('controller_history_bytes', 'Memory of the history, without its names.'),
    historyBegins: gauge(
      'controller_history_begin_timestamp_seconds',
      'Unix time at which the history of this replica begins.',
    ),
    historyDropped: gauge(
      'controller_history_dropped',
      'What the history left out at a bound since this replica started, by item (edges, workloads, counters, changes).',
      ['item'],
    ),
  };
}

/**
 * What the history has of each workload, for longer times. `workload_namespace`, because scraping
 * sets `namespace` to that of the controller.
 */
function ofWorkloads({ gauge }: Describe) {
  const labels = ['workload_namespace', 'workload'] as const;
  return {
    workloadMemory: gauge(
      'controller_workload_memory_bytes',
      'Memory of all measured sidecars of a workload.',
      [...labels],
    ),
    workloadSaved: gauge(
      'controller_workload_memory_saved_bytes',
      'Memory that the scope of a workload saves over all its proxies.',
      [...labels],
    ),
    workloadClusters: gauge(
      'controller_workload_clusters',
      'Clusters of a sidecar of a workload, the mean of those measured.',
      [...labels],
    ),
    workloadProxies: gauge('controller_workload_proxies', 'Measured sidecars of a workload.', [
      ...labels,
    ]),
    workloadsLeftOut: gauge(
      'controller_workload_metrics_left_out',
      'Workloads without metrics of their own, because 2,000 others have them.',
    ),
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
      'Destinations that left a scope because they were no longer used.',
    ),
    overdue: gauge(
      'controller_destinations_overdue',
      'Unused destinations that stay past their time, by reason (ReportsMissing, Settling, Overflow, ShrinkGuard).',
      ['reason'],
    ),
    withdrawn: counter(
      'controller_scopes_withdrawn_total',
      'Scopes withdrawn, by the reason in their condition.',
      ['reason'],
    ),
    withdrawalsPending: gauge(
      'controller_withdrawals_pending',
      'Scopes that stay in force although proxies are silent, by reason (Budget, BelowQuorum, NodeUnheard, Deaf).',
      ['reason'],
    ),
    nodesHeard: gauge('controller_nodes_heard', 'Nodes whose companion is connected.'),
    scopesRefused: counter(
      'controller_scopes_refused_total',
      'Workloads refused a WorkloadScope because their namespace is at its limit.',
    ),
    hostsLeftOut: gauge(
      'controller_hosts_left_out',
      'Learned destinations that have no room in their scope: each of their calls is a first call.',
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
      'Namespaces and Services with an unknown lazyscope.io/mode or source; what is in force stays.',
    ),
    ignored: counter(
      'controller_observations_ignored_total',
      'Observations that added no destination, by reason.',
      ['reason'],
    ),
    edges: gauge('controller_edges', 'Pairs of workload and destination in memory.'),
    edgesRefused: counter(
      'controller_edges_refused_total',
      'Observations refused because a workload has too many destinations.',
    ),
    catalog: gauge('controller_catalog_entries', 'Entries of the catalog, by index.', ['index']),
    proxies: gauge('controller_proxies', 'Proxies that node companions report.'),
    workloads: gauge('controller_workloads', 'Workloads of enabled namespaces, by mode.', ['mode']),
    workloadsScoped: gauge('controller_workloads_scoped', 'Workloads whose scope is in force.'),
    memorySaved: gauge(
      'controller_memory_saved_bytes',
      'Memory that scopes save over all proxies, by the figures of the WorkloadScopes.',
    ),
  };
}

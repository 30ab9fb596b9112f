/** What the API answers; docs/console.md describes the fields. */

export type Times = { now: number; beginsAt: number; newestChange: number };

export type Change = {
  id: number;
  at: number;
  kind: string;
  namespace: string;
  workload: string;
  host: string;
  detail: string;
};

export type Row = {
  namespace: string;
  name: string;
  mode: string;
  scoped: boolean;
  reason: string;
  message: string;
  hosts: number;
  proxies: number;
  clustersBefore: number;
  clustersAfter: number;
  memoryBefore: number;
  memoryAfter: number;
  saved: number;
};

export type Overview = Times & {
  everything: boolean;
  workloads: number;
  scoped: number;
  proxies: number;
  saved: number;
  clusters: { before: number; after: number };
  reasons: { name: string; count: number }[];
  modes: { name: string; count: number }[];
  namespaces: { namespace: string; workloads: number; scoped: number; saved: number }[];
  attention: { namespace: string; workload: string; reason: string; message: string }[];
};

export type Workloads = Times & { total: number; offset: number; items: Row[] };

export type Host = {
  host: string;
  reason: string;
  message?: string;
  firstSeen: number;
  lastSeen: number;
  callsLastHour: number;
};

export type Workload = Times &
  Omit<Row, 'hosts'> & {
    hosts: Host[];
    conditions: { type: string; status: string; reason: string; message: string }[];
    figures: { binMs: number; memory: number[]; clusters: number[] };
    changes: Change[];
  };

export type Edge = {
  namespace: string;
  workload: string;
  host: string;
  rate: number;
  firstAt: number;
  lastAt: number;
};

export type Topology = Times & { from: number; to: number; leftOut: number; edges: Edge[] };

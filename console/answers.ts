/** What the API answers; docs/console.md describes the fields. */

export type Times = {
  now: number;
  beginsAt: number;
  newestChange: number;
  /** Namespaces that a demo makes up. */
  played?: string[];
};

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
  savedOverTime: { binMs: number; from: number; is: number[]; full: number[] };
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
    callers: (Called & { callsLastHour: number })[];
    yaml: string;
    conditions: { type: string; status: string; reason: string; message: string }[];
    figures: { binMs: number; memory: number[]; clusters: number[] };
    changes: Change[];
  };

export type Explanation = Times & {
  to: string;
  steps: { step: string; text: string }[];
  refused?: string;
};

export type Called = {
  namespace: string;
  workload: string;
  host: string;
  firstAt: number;
  lastAt: number;
};

export type Edge = Called & { rate: number };

export type NamespacePair = {
  namespace: string;
  /** Empty for what is outside. */
  to: string;
  isOutside: boolean;
  rate: number;
  pairs: number;
  firstAt: number;
  lastAt: number;
};

export type Topology = Times & {
  from: number;
  to: number;
  covered: number;
  leftOut: number;
  namespaces: NamespacePair[];
  edges: Edge[];
};

export type Finding = {
  id: string;
  severity: 'blocks' | 'differs' | 'note';
  sentence: string;
  count: number;
  subjects: string[];
};

export type Advice = Times & {
  findings: Finding[];
  elsewhere: { command: string; about: string }[];
};

/** What the API answers; docs/console.md describes the fields. */

export type Times = {
  now: number;
  beginsAt: number;
  newestChange: number;
  /** Before `beginsAt` if a Prometheus has older times. */
  oldestAt: number;
  hasPrometheus?: boolean;
  /** The address of Kiali. */
  kiali?: string;
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
  namespaces: {
    namespace: string;
    workloads: number;
    scoped: number;
    saved: number;
    clusters: { before: number; after: number };
  }[];
  /** There are scopes from before the history. */
  beganAnew: boolean;
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
    changes: Change[];
  };

/** Sums over all workloads, or means of the sidecars of one. */
export type Figures = Times & {
  source: 'history' | 'prometheus';
  from: number;
  binMs: number;
  memory: number[];
  full: number[];
  clusters: number[];
  fullClusters: number[];
  /** Why there are none. */
  refused?: string;
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

/** `expiresAt`: when it leaves the scope unless it is called; of expiring hosts only. */
export type Edge = Called & { rate: number; mark?: 'eager' | 'expiring'; expiresAt?: number };

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
  /** The length of the bins that counts are taken from. */
  binMs: number;
  source: 'history' | 'prometheus';
  /** Why nothing is known. */
  refused?: string;
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
  /** Those that were looked at. */
  workloads: number;
  findings: Finding[];
  elsewhere: { command: string; about: string }[];
};

export type NodeRow = {
  node: string;
  heard: boolean;
  features: Record<string, string>;
  tls: { can: 'cryptomb' | 'qat' | 'none' | 'unknown'; why: string };
  bypass: { does: 'on' | 'off'; why: string };
};

export type Nodes = Times & { nodes: NodeRow[]; left: number };

import type { ConfigDump } from '../../companion/core/oracle/config-dump.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import type { Measured } from '../frame/istiods.ts';
import type { Mesh } from '../mesh/read.ts';

export const severities = ['critical', 'warning', 'info'] as const;
export type Severity = (typeof severities)[number];

/** The configuration of one proxy, by its pod. */
export type Dumped = { namespace: string; name: string; dump: ConfigDump };

/** What checks look at. */
export type Examined = {
  /** As a controller of Lazyscope sees it. */
  mesh: Mesh;
  /** The objects as they were read, by kind; none of a kind that could not be read. */
  of(kind: string): readonly KubeObject[];
  /** Deployments of istiod in its root namespace. */
  istiods: readonly KubeObject[];
  measured: readonly Measured[];
  /** Only what `--deep` asked for. */
  dumped: readonly Dumped[];
  now: number;
};

/** One place where the condition of a check holds. */
export type Evidence = {
  /** `Kind namespace/name`. */
  subject: string;
  /** One sentence with names and values. */
  sentence: string;
  /** A command that shows it; default: the one that prints the subject. */
  evidence?: string;
  /** A command or YAML. */
  remedy: string;
};

export type Check = {
  /** Stays the same from release to release; the name of its page in docs/checks. */
  id: string;
  severity: Severity;
  /** What it looks for. */
  title: string;
  find(examined: Examined): Evidence[];
};

export type Diagnosis = Required<Evidence> & { id: string; severity: Severity; page: string };

export function diagnose(checks: readonly Check[], examined: Examined): Diagnosis[] {
  return checks
    .flatMap(({ id, severity, find }) =>
      find(examined).map((each) => ({
        ...{ id, severity },
        ...{ ...each, evidence: each.evidence ?? shown(each.subject) },
        page: pageOf(id),
      })),
    )
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

export function pageOf(id: string): string {
  return `docs/checks/${id}.md`;
}

function shown(subject: string): string {
  const [kind = '', path = ''] = subject.split(' ');
  const [first = '', name] = path.split('/');
  const where = name ? `-n ${first} ` : '';
  return `kubectl get ${kind.toLowerCase()} ${where}${name ?? first} -o yaml`;
}

function keyOf({ severity, id, subject }: Diagnosis): string {
  return `${severities.indexOf(severity)} ${id} ${subject}`;
}

import type { KubeObject } from '../../companion/kube/object.ts';
import type { Mesh } from '../mesh/read.ts';

export const severities = ['critical', 'warning', 'info'] as const;
export type Severity = (typeof severities)[number];

/** What checks look at: the mesh as a controller sees it, and the istiods of its root namespace. */
export type Examined = { mesh: Mesh; istiods: readonly KubeObject[]; now: number };

/** One place where the condition of a check holds. */
export type Evidence = {
  /** `Kind namespace/name`. */
  subject: string;
  /** One sentence with names and values. */
  sentence: string;
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

export type Diagnosis = Evidence & { id: string; severity: Severity; page: string };

export function diagnose(checks: readonly Check[], examined: Examined): Diagnosis[] {
  return checks
    .flatMap(({ id, severity, find }) =>
      find(examined).map((each) => ({ id, severity, ...each, page: pageOf(id) })),
    )
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

export function pageOf(id: string): string {
  return `docs/checks/${id}.md`;
}

function keyOf({ severity, id, subject }: Diagnosis): string {
  return `${severities.indexOf(severity)} ${id} ${subject}`;
}

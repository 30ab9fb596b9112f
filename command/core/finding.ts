import type { Paint, Tone } from './table.ts';

/**
 * `blocks`: narrowing is impossible until it is gone; `differs`: calls behave differently from full
 * configuration; `note`: worth knowing.
 */
export type Severity = 'blocks' | 'differs' | 'note';

export type Finding = {
  /** A reason of the condition `Ready`, a heading of KNOWN_ISSUES.md, or `saving`. */
  id: string;
  severity: Severity;
  /** What it is about: a workload or a namespace. */
  subject: string;
  sentence: string;
  remedy: string;
  /** The page of the repository that says more. */
  page: string;
};

const order: readonly Severity[] = ['blocks', 'differs', 'note'];
const tones: Record<Severity, Tone> = { blocks: 'bad', differs: 'warn', note: 'faint' };

export function inOrder(findings: readonly Finding[]): Finding[] {
  const key = ({ severity, subject, id }: Finding) => `${order.indexOf(severity)} ${subject} ${id}`;
  return [...findings].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

export function findingsText(findings: readonly Finding[], paint: Paint): string {
  return findings
    .map(({ id, severity, subject, sentence, remedy, page }) => {
      const mark = paint(severity.toUpperCase().padEnd(7), tones[severity]);
      const rest = [remedy && `remedy: ${remedy}`, page && `page:   ${page}`]
        .filter(Boolean)
        .map((line) => `        ${line}\n`);
      return `${mark} ${subject} ${id}: ${sentence}\n${rest.join('')}`;
    })
    .join('\n');
}

/** At most five names, and how many more there are. */
export function someOf(names: readonly string[]): string {
  const shown = names.slice(0, namesMax).join(', ');
  return names.length > namesMax ? `${shown} and ${names.length - namesMax} more` : shown;
}

/** More would hide the sentence; `-o json` of other verbs lists all. */
const namesMax = 5;

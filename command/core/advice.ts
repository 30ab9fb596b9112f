import { type Paint, plainText } from './table.ts';

/** Something to change, with what it brings, what it costs, and what is not known. */
export type Advice = {
  topic: 'discovery' | 'istiod' | 'resources' | 'tls';
  id: string;
  /** What it is about: a namespace, a workload, an istiod. */
  subject: string;
  /** What to do. */
  sentence: string;
  /** The measured value, the threshold and the source of the threshold. */
  why: string;
  saves: string;
  /** What gets worse, or whom it concerns; empty: nothing. */
  worse: string;
  /** What this advice cannot know; empty: nothing. */
  unknown: string;
  /** YAML or a command, ready to apply. */
  change: string;
};

export function adviceText(all: readonly Advice[], paint: Paint): string {
  return all
    .map((each) => {
      const title = `${paint(each.topic.toUpperCase(), 'faint')}  ${each.subject} ${each.id}: ${each.sentence}`;
      const rest = (['why', 'saves', 'worse', 'unknown'] as const).flatMap((key) =>
        each[key] === '' ? [] : `  ${`${key}:`.padEnd(9)}${plainText(each[key])}\n`,
      );
      const change = each.change.trimEnd().replace(/^/gm, '    ');
      return `${plainText(title)}\n${rest.join('')}${change}\n`;
    })
    .join('\n');
}

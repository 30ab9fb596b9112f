import type { Figures, Times } from './answers.ts';
import { ask } from './api.ts';
import { type Chart, lineChart } from './chart.ts';
import { h, section } from './dom.ts';

/** Charts of memory and clusters, over a time that the user chooses. */

const spans: Record<number, string> = {
  ...{ 1: 'the last day', 14: '14 days', 90: '90 days', 365: 'a year' },
};
/** The history of the controllers. */
const historyDays = 14;

/** The choices stay while views are drawn again. */
let days = 1;
/** Empty: all. */
let chosenNamespace = '';

/** Of one workload, or of all in the namespace that was chosen. */
export function askFigures(of?: { namespace: string; name: string }): Promise<Figures> {
  return ask<Figures>('figures', { ...(of ?? { namespace: chosenNamespace }), days });
}

/** Of what the charts of all workloads are: `in shop`; empty for all. */
export function ofNamespace(): string {
  return chosenNamespace === '' ? '' : ` in ${chosenNamespace}`;
}

export function namespaceChoice(names: readonly string[], redraw: () => void): HTMLElement {
  // One that has gone meanwhile stays to be deselected.
  const offered = ['', ...new Set([...names, ...(chosenNamespace ? [chosenNamespace] : [])])];
  const options = offered.map((each) =>
    h('option', { value: each, selected: each === chosenNamespace }, each || 'all namespaces'),
  );
  const change = (event: Event) => {
    chosenNamespace = (event.target as HTMLSelectElement).value;
    redraw();
  };
  return h(
    'label',
    {},
    'of ',
    h('select', { id: 'of', 'aria-label': 'Charts of namespace', change }, ...options),
  );
}

export function spanChoice({ hasPrometheus }: Times, redraw: () => void): HTMLElement {
  const offered = Object.keys(spans)
    .map(Number)
    .filter((each) => each <= historyDays || hasPrometheus);
  const options = offered.map((each) =>
    h('option', { value: each, selected: each === days }, spans[each] ?? ''),
  );
  const change = (event: Event) => {
    days = Number((event.target as HTMLSelectElement).value);
    redraw();
  };
  return h('label', {}, 'Charts over ', h('select', { id: 'span', change }, ...options));
}

type Shown = Pick<Chart, 'text' | 'lines'> & { title: string };

/** The chart has the name of its heading, which is the only one of the page. */
export function figureSection(figures: Figures, { title, ...chart }: Shown): HTMLElement {
  const { source, from, binMs, beginsAt, refused } = figures;
  const isPast = source === 'prometheus';
  const name = `${title}, ${spans[days]}`;
  return section(
    name,
    refused !== undefined
      ? h('p', { class: 'warn', role: 'status' }, `! No older times: ${refused}`)
      : lineChart({
          ...{ ...chart, name, from, binMs },
          // What Prometheus has reaches back before the history.
          beginsAt: isPast ? from : beginsAt,
          source: isPast ? 'Prometheus' : undefined,
        }),
  );
}

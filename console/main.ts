import { adviceView } from './advice.ts';
import {
  clockBehind,
  dropToken,
  Failure,
  keepToken,
  played,
  requestEvents,
  takeToken,
} from './api.ts';
import { h } from './dom.ts';
import { follow, silentMs } from './events.ts';
import { isHeld, watchHands } from './hands.ts';
import { nodesView } from './nodes.ts';
import { overviewView } from './overview.ts';
import { isLive, stopReplay } from './replay.ts';
import { durationText } from './text.ts';
import { topologyView } from './topology.ts';
import { workloadView } from './workload.ts';
import { workloadsView } from './workloads.ts';

/** A live view is asked for again at most this often. */
const redrawMs = 5_000;
/** Clocks that differ by less are as good as equal for a reader. */
const clockMs = 60_000;

const main = document.querySelector('main') as HTMLElement;
const nav = document.querySelector('nav') as HTMLElement;
const age = document.querySelector('#age') as HTMLElement;
const note = document.querySelector('#note') as HTMLElement;
const zone = document.querySelector('#zone') as HTMLElement;
const views = {
  ...{ overview: 'Overview', workloads: 'Workloads', topology: 'Topology' },
  ...{ nodes: 'Nodes', advice: 'Advice' },
};

let shownAt = 0;
/** Events need a moment to begin. */
let heardAt = Date.now();
let drawing = 0;

function place(): string[] {
  try {
    const parts = location.hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);
    return parts[0] && Object.hasOwn(views, parts[0]) ? parts : ['overview'];
  } catch {
    // What follows a `%` is no character.
    return ['overview'];
  }
}

/** Only the topology shows the time that was chosen; every other view shows now. */
function isNow(): boolean {
  return place()[0] !== 'topology' || isLive();
}

function viewOf([view, namespace, name]: string[]): Promise<HTMLElement[]> {
  const redraw = () => void draw();
  if (view === 'topology') return topologyView({ namespace, workload: name }, redraw);
  if (view === 'workloads' && namespace && name) return workloadView(namespace, name, redraw);
  if (view === 'workloads') return workloadsView(redraw);
  if (view === 'nodes') return nodesView(redraw);
  if (view === 'advice') return adviceView();
  return overviewView(redraw);
}

async function draw(): Promise<void> {
  drawing += 1;
  const own = drawing;
  const where = place();
  nav.replaceChildren(
    ...Object.entries(views).map(([path, title]) =>
      h('a', { href: `#/${path}`, 'aria-current': where[0] === path && 'page' }, title),
    ),
  );
  try {
    const elements = await viewOf(where);
    // A later view was asked for meanwhile.
    if (own !== drawing) return;
    show(elements);
    shownAt = Date.now();
    note.hidden = played().length === 0;
    note.textContent = `The demo makes up the namespaces ${played().join(', ')}; the others are real.`;
    zone.textContent = zoneText();
    document.title = `${main.querySelector('h2')?.textContent} – Lazyscope`;
  } catch (error) {
    if (own === drawing) showFailure(error);
  }
  tellAge();
}

/** What has a scrollbar of its own stays where it was. */
const scrolling = '.scroll, pre';

/** The element with the focus keeps it, by its id or its text. */
function show(elements: readonly HTMLElement[]): void {
  const active = document.activeElement;
  const [id, text] = [active?.id, active?.textContent];
  const cursor =
    active instanceof HTMLInputElement && active.type === 'search' && active.selectionStart;
  const opened = [...main.querySelectorAll('details[open]')].map((each) => each.id);
  const scrolled = [...main.querySelectorAll(scrolling)].map(
    (each) => [each.ariaLabel, each.scrollLeft, each.scrollTop] as const,
  );
  main.replaceChildren(...elements);
  for (const each of main.querySelectorAll(scrolling)) {
    const before = scrolled.find(([label]) => label === each.ariaLabel);
    if (before) [, each.scrollLeft, each.scrollTop] = before;
  }
  for (const each of main.querySelectorAll('details')) each.open = opened.includes(each.id);
  if (!active || document.contains(active)) return;
  const same = [...main.querySelectorAll<HTMLElement>('a, button, input, select')].find((each) =>
    id ? each.id === id : each.textContent === text,
  );
  same?.focus();
  if (same instanceof HTMLInputElement && typeof cursor === 'number')
    same.setSelectionRange(cursor, cursor);
}

/** When a controller does not answer, or is asked too often, what is shown stays and gets old. */
function showFailure(error: unknown): void {
  if (error instanceof Failure && error.status === 404) {
    main.replaceChildren(h('h2', {}, 'Not found'), h('p', { role: 'alert' }, error.message));
    return;
  }
  const isRefused = error instanceof Failure && [401, 403].includes(error.status);
  const text = error instanceof Failure ? error.message : 'The controller does not answer.';
  if (isRefused) dropToken();
  if (isRefused || shownAt === 0) main.replaceChildren(...tokenForm(text));
}

function tokenForm(reason: string): HTMLElement[] {
  const input = h('input', { type: 'password', id: 'token', required: true, autocomplete: 'off' });
  const submit = (event: Event) => {
    event.preventDefault();
    keepToken(input.value.trim());
    void draw();
  };
  return [
    h('h2', {}, 'A token, please'),
    h('p', { role: 'alert' }, reason),
    h(
      'p',
      {},
      'The page shows the namespaces whose WorkloadScopes the owner of the token may list. To get one: ',
      h('code', {}, 'kubectl -n lazyscope-system create token lazyscope-viewer'),
    ),
    h('form', { submit }, h('label', { for: 'token' }, 'Token'), input, h('button', {}, 'Show')),
  ];
}

/** Old is a live view that was not drawn again, and any view while no events arrive. */
function tellAge(): void {
  const since = (ms: number) => Math.round((Date.now() - ms) / 1_000);
  const isUnheard = Date.now() - heardAt > silentMs;
  const isUndrawn = isNow() && Date.now() - shownAt > redrawMs + silentMs;
  const isOld = shownAt > 0 && (isUndrawn || isUnheard);
  const old = isUndrawn
    ? `old: what is shown is ${since(shownAt)} s old`
    : `old: no event arrived for ${since(heardAt)} s`;
  const text = isOld ? old : isNow() ? 'live' : 'the past';
  age.classList.toggle('old', isOld);
  if (shownAt > 0 && age.textContent !== text) age.textContent = text;
}

/** Times are shown as this browser has them, which may be elsewhere than the cluster. */
function zoneText(): string {
  const format = new Intl.DateTimeFormat(undefined, { timeZoneName: 'longOffset' });
  const { timeZone } = format.resolvedOptions();
  const offset = format.formatToParts().find(({ type }) => type === 'timeZoneName')?.value ?? '';
  const text = `Times are in ${timeZone}${timeZone === 'UTC' ? '' : ` (${offset.replace('GMT', 'UTC')})`}.`;
  const behind = clockBehind();
  if (Math.abs(behind) < clockMs) return text;
  const how = `${durationText(Math.abs(behind))} ${behind > 0 ? 'behind' : 'ahead of'}`;
  return `${text} They are the controller’s: the clock of this browser is ${how} the controller’s.`;
}

addEventListener('hashchange', () => {
  takeToken();
  stopReplay();
  void draw().then(() => {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  });
});
setInterval(() => {
  tellAge();
  if (shownAt > 0 && isNow() && !isHeld() && Date.now() - shownAt > redrawMs) void draw();
}, 1_000);

watchHands();
takeToken();
void draw();
void follow(requestEvents, {
  onTime: () => {
    heardAt = Date.now();
  },
  onChange: () => {
    if (isNow() && !isHeld() && Date.now() - shownAt > 1_000) void draw();
  },
});

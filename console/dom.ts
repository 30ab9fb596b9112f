import { shortHost } from './flows.ts';

/** Makes elements. Names from the mesh only ever become text, so none can become markup. */

export type Child = Node | string | number | false | undefined;
type Attributes = Record<string, string | number | boolean | ((event: Event) => void) | undefined>;

export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  return fill(document.createElement(tag), attributes, children);
}

export function s(tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function fill<Made extends Element>(made: Made, attributes: Attributes, children: Child[]): Made {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== undefined && value !== false) made.setAttribute(name, String(value));
  }
  made.append(...children.filter((each) => each !== undefined && each !== false).map(nodeOf));
  return made;
}

function nodeOf(child: Exclude<Child, false | undefined>): Node | string {
  return typeof child === 'number' ? String(child) : child;
}

export type Column<Row> = {
  title: string;
  number?: boolean;
  cell(row: Row): Child;
  /** The name that the server sorts by. */
  sort?: string;
};

export type Sorting = { by: string; descending: boolean; onSort(by: string): void };

/** More columns than that do not fit into a narrow window. */
const wideColumns = 2;

/** The roles keep it a table for a screen reader where the style makes cards of its rows. */
export function table<Row>(
  caption: string,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  sorting?: Sorting,
): HTMLElement {
  const head = columns.map(({ title, number, sort }) => {
    const isSorted = sorting !== undefined && sort === sorting.by;
    const order = isSorted && (sorting.descending ? 'descending' : 'ascending');
    const arrow = order === 'descending' ? ' ▼' : order === 'ascending' ? ' ▲' : '';
    const button =
      sort && sorting
        ? h('button', { type: 'button', click: () => sorting.onSort(sort) }, `${title}${arrow}`)
        : title;
    const attributes = {
      scope: 'col',
      role: 'columnheader',
      class: number && 'number',
      'aria-sort': order,
    };
    return h('th', attributes, button);
  });
  const body = rows.map((row) =>
    h(
      'tr',
      { role: 'row' },
      ...columns.map(({ title, number, cell }) =>
        // In a narrow window the rows of wide tables are cards, whose lines begin with the title.
        h('td', { role: 'cell', class: number && 'number', 'data-title': title }, cell(row)),
      ),
    ),
  );
  if (rows.length === 0) {
    body.push(h('tr', {}, h('td', { colspan: columns.length, class: 'quiet' }, 'None.')));
  }
  const attributes = { role: 'table', class: columns.length > wideColumns && 'wide' };
  return h(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    h(
      'table',
      attributes,
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...head)),
      h('tbody', { role: 'rowgroup' }, ...body),
    ),
  );
}

export function section(title: string, ...children: Child[]): HTMLElement {
  return h('section', {}, h('h3', {}, title), ...children);
}

/** A field for a search, with its label; `onSearch` gets every state of the text. */
export function searchField(
  title: string,
  value: string,
  onSearch: (text: string) => void,
): HTMLElement[] {
  const input = (event: Event) => onSearch((event.target as HTMLInputElement).value);
  const attributes = { type: 'search', id: 'search', value, autocomplete: 'off', input };
  return [h('label', { for: 'search' }, title), h('input', attributes)];
}

/** A host by its short name; the whole entry is shown on hover. */
export function hostText(entry: string): HTMLElement {
  return h('span', { title: entry, class: 'host' }, shortHost(entry));
}

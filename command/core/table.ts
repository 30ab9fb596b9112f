/** Text in columns, as kubectl prints it. */

/** What a cell means, for its colour. */
export type Tone = 'good' | 'warn' | 'bad' | 'faint';

export type Cell = string | { text: string; tone: Tone };

export type Column<Row> = {
  title: string;
  cell(row: Row): Cell;
  /** Shown with `-o wide` only. */
  wide?: true;
};

/** A table that has been laid out; `tone` paints cells where there are colours. */
export type Paint = (text: string, tone: Tone) => string;

const gap = '   ';

/**
 * One line for the titles and one for each row. An empty cell is `-`, so that columns can be
 * counted. Without rows the text is empty.
 */
export function tableOf<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { wide, paint }: { wide: boolean; paint: Paint },
): string {
  if (rows.length === 0) return '';
  const shown = columns.filter((column) => wide || !column.wide);
  const lines = [
    shown.map(({ title }) => ({ text: title, tone: 'faint' as Tone | undefined })),
    ...rows.map((row) => shown.map(({ cell }) => partsOf(cell(row)))),
  ];
  const widths = shown.map((_, column) =>
    Math.max(...lines.map((cells) => [...(cells[column]?.text ?? '')].length)),
  );
  return lines
    .map((cells) =>
      cells
        .map(({ text, tone }, column) => {
          const isLast = column === cells.length - 1;
          const fill = isLast ? 0 : (widths[column] ?? 0) - [...text].length;
          return `${tone ? paint(text, tone) : text}${' '.repeat(fill)}`;
        })
        .join(gap),
    )
    .map((line) => `${line}\n`)
    .join('');
}

function partsOf(cell: Cell): { text: string; tone: Tone | undefined } {
  const { text, tone } = typeof cell === 'string' ? { text: cell, tone: undefined } : cell;
  return { text: plainText(text) || '-', tone };
}

/** Texts come from objects of others: nothing in them may move the cursor or end a line. */
export function plainText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what has to go.
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim();
}

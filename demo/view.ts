/** Where the demo shows events: a terminal with a panel that is kept up to date, or plain lines. */
export type View = {
  say(line: string): void;
  /** Printed unchanged, without the time. */
  print(line: string): void;
  /** From now on these lines stay at the bottom, redrawn twice a second. */
  panel(lines: () => Promise<string[]>): void;
  end(): void;
};

type Output = Pick<NodeJS.WriteStream, 'write' | 'columns'>;

export const silent: View = {
  say: () => undefined,
  print: () => undefined,
  panel: () => undefined,
  end: () => undefined,
};

/** One line for each event, with the seconds since the start; for pipes and logs. */
export function plainView(output: Output): View {
  const stamped = createStamp();
  const print = (line: string) => void output.write(`${line}\n`);
  return { ...silent, print, say: (line) => print(stamped(line)) };
}

const refreshMs = 500;

/** The same lines, with the panel below them. */
export function liveView(output: Output): View {
  const stamped = createStamp();
  let shown: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let ended = false;

  function erase(): void {
    if (shown.length > 0) output.write(`\u001b[${shown.length}A\u001b[0J`);
  }

  function draw(): void {
    // A line that wraps would move the cursor too little; a terminal without a known width has no
    // panel.
    const width = output.columns > 0 ? output.columns - 1 : Number.POSITIVE_INFINITY;
    for (const line of shown) output.write(`${truncate(line, width)}\n`);
  }

  function print(line: string): void {
    erase();
    output.write(`${line}\n`);
    draw();
  }

  return {
    print,
    say: (line) => print(stamped(line)),
    panel(lines) {
      clearTimeout(timer);
      const refresh = async () => {
        // A proxy that is being replaced has no figures for a moment.
        const fresh = await lines().catch(() => shown);
        if (ended) return;
        erase();
        shown = fresh;
        draw();
        timer = setTimeout(refresh, refreshMs);
      };
      void refresh();
    },
    end() {
      ended = true;
      clearTimeout(timer);
    },
  };
}

function createStamp(): (line: string) => string {
  const startedAt = performance.now();
  return (line) => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    return `${seconds.padStart(6)} s  ${line}`;
  };
}

function truncate(line: string, width: number): string {
  return line.length > width ? `${line.slice(0, width - 1)}…` : line;
}

/** Lines of aligned cells; the first cell of each is to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('   ')
      .trimEnd(),
  );
}

/** A bar of up to `width` characters. */
export function bar(value: number, most: number, width: number): string {
  const eighths = Math.max(1, Math.round((value / most) * width * 8));
  const rest = eighths % 8;
  const last = rest > 0 ? String.fromCodePoint(0x2590 - rest) : '';
  return '█'.repeat(Math.floor(eighths / 8)) + last;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

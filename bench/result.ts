/** One figure of a benchmark. `aim` is such as `<= 0.08`; some figures have no aim. */
export type Row = {
  case: string;
  metric: string;
  value: number;
  unit: string;
  aim: string | null;
  pass: boolean | null;
};

export type Aim = { atMost: number } | { atLeast: number };

/** The machine and the versions of the parts under test. */
export type Machine = {
  cpus: number;
  memoryBytes: number;
  kernel: string;
  node: string;
  envoy: string;
  istio: string;
  kubernetes: string;
};

export type Result = { name: string; machine: Machine; rows: Row[] };

/** The digits that a repeated run reproduces, and one more. */
const significantDigits = 4;

/** Compares the aim with the measured value, not with the rounded value. */
export function row(subject: string, metric: string, value: number, unit: string, aim?: Aim): Row {
  return {
    case: subject,
    metric,
    value: Number(value.toPrecision(significantDigits)),
    unit,
    aim: aim ? aimText(aim) : null,
    // A value that could not be measured meets no aim.
    pass: aim ? meetsAim(value, aim) : null,
  };
}

function meetsAim(value: number, aim: Aim): boolean {
  return 'atMost' in aim ? value <= aim.atMost : value >= aim.atLeast;
}

function aimText(aim: Aim): string {
  return 'atMost' in aim ? `<= ${aim.atMost}` : `>= ${aim.atLeast}`;
}

export function missedAims({ rows }: Result): Row[] {
  return rows.filter(({ pass }) => pass === false);
}

/** Throws if a figure is not a number: a ratio of two zeros is not a measurement. */
export function assertMeasured({ name, rows }: Result): void {
  const unmeasured = rows.filter(({ value }) => !Number.isFinite(value));
  if (unmeasured.length === 0) return;
  const list = unmeasured.map((each) => `${each.case}, ${each.metric}: ${each.value}`);
  throw new Error(`${name} has figures that are not numbers\n- ${list.join('\n- ')}`);
}

/** The rows as an aligned table, with the figures right-aligned. */
export function tableOf({ name, machine, rows }: Result): string {
  const cells = rows.map((each) => [
    each.case,
    each.metric,
    String(each.value),
    each.unit,
    each.aim ?? '',
    each.pass === null ? '' : each.pass ? 'met' : 'MISSED',
  ]);
  const table = [['case', 'metric', 'value', 'unit', 'aim', ''], ...cells];
  const widths = table[0]?.map((_, i) => Math.max(...table.map((line) => (line[i] ?? '').length)));
  const lines = table.map((line) =>
    line
      .map((cell, i) => (i === 2 ? cell.padStart(widths?.[i] ?? 0) : cell.padEnd(widths?.[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  const { cpus, memoryBytes, kernel, node, envoy, istio, kubernetes } = machine;
  const gigabytes = Math.round(memoryBytes / 2 ** 30);
  return [
    `${name}: ${cpus} CPUs, ${gigabytes} GiB, Linux ${kernel}, Node ${node}, Envoy ${envoy},`,
    `Istio ${istio}, Kubernetes ${kubernetes}`,
    '',
    ...lines,
  ].join('\n');
}

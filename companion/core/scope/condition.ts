export type Mode = 'observe' | 'enforce' | 'off';

/**
 * Label that enables a namespace; on a Service it is an annotation, for the workloads it selects.
 */
export const modeLabel = 'lazyscope.io/mode';

export const modes: readonly Mode[] = ['observe', 'enforce', 'off'];

export function parseMode(text: unknown): Mode | undefined {
  return modes.find((mode) => mode === text);
}

/**
 * The mode that a label or annotation asks for. A value that is not in `modes` is a mistake and
 * removes nothing: `last`, the previous mode, stays. Without a previous mode it is `off`.
 */
export function modeInForce(text: string, last: Mode | undefined): Mode {
  return parseMode(text) ?? last ?? 'off';
}

/** A condition of the WorkloadScope, without its type and time. */
export type Scoped = { status: 'True' | 'False'; reason: string; message: string };

export type Condition = Scoped & { type: string; lastTransitionTime: string };

/** Any object with conditions, such as the status of a WorkloadScope. */
type Conditioned = { conditions?: readonly Condition[] };

/** Longest text that says why a host is in a scope: an object with its names, and a reason. */
export const messageMax = 256;
/** Longest message of a condition or an Event; the API server accepts no more for an Event. */
export const newsMax = 1_024;

/** The text, or its start. */
export function limited(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 3)}...`;
}

export function conditionOf(
  type: string,
  told: Scoped,
  before: Conditioned | undefined,
  now: number,
): Condition {
  const known = conditionIn(before, type);
  const since = known?.status === told.status ? known.lastTransitionTime : timeOf(now);
  const message = limited(told.message, newsMax);
  return { type, ...told, message, lastTransitionTime: since };
}

export function conditionIn(status: Conditioned | undefined, wanted: string) {
  return status?.conditions?.find(({ type }) => type === wanted);
}

export function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

export function timeIn(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? undefined : time;
}

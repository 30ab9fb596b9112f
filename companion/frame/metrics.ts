import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** A registry with the figures of the process itself (memory, event loop, handles). */
export function createRegistry(version: string, role: string): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'lazyscope_' });
  new Gauge({
    name: 'lazyscope_build_info',
    help: 'Always 1; the labels name the version and the role.',
    labelNames: ['version', 'role'],
    registers: [registry],
  }).set({ version, role }, 1);
  return registry;
}

/** Shorthands that register metrics alike: name, help, labels. */
export function describeMetrics(registry: Registry) {
  const registers = [registry];
  return {
    counter: <Label extends string = never>(name: string, help: string, labelNames: Label[] = []) =>
      new Counter<Label>({ name: `lazyscope_${name}`, help, labelNames, registers }),
    gauge: <Label extends string = never>(name: string, help: string, labelNames: Label[] = []) =>
      new Gauge<Label>({ name: `lazyscope_${name}`, help, labelNames, registers }),
    /** Buckets in seconds. */
    seconds: <Label extends string = never>(
      name: string,
      help: string,
      buckets: number[],
      labelNames: Label[] = [],
    ) => new Histogram<Label>({ name: `lazyscope_${name}`, help, buckets, labelNames, registers }),
  };
}

/** Log lines that were dropped because the reader was too slow. */
export function createLogMetrics(registry: Registry) {
  return describeMetrics(registry).counter(
    'log_lines_dropped_total',
    'Log lines dropped because their reader was too slow.',
  );
}

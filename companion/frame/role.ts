import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Lifecycle } from './lifecycle.ts';

/** The context that `main.ts` passes to the role that it starts. The admin port is already open. */
export type RoleDeps = {
  log: Logger;
  lifecycle: Lifecycle;
  registry: Registry;
  /** Views at /debug/NAME of the admin port. A role may add views, and must bound their output. */
  debug: Map<string, () => unknown>;
};

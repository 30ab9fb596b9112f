import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Lifecycle } from './lifecycle.ts';

/** What `main.ts` gives to the role that it starts. The admin port is open already. */
export type RoleDeps = {
  log: Logger;
  lifecycle: Lifecycle;
  registry: Registry;
  /** Views at /debug/NAME of the admin port: add one, and bound what it returns. */
  debug: Map<string, () => unknown>;
};

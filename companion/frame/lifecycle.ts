import type { Logger } from 'pino';

type Hook = { name: string; run: () => Promise<void> | void };

/**
 * How a process starts and ends: the tasks that readiness waits for, and the hooks that run in
 * order at stop.
 */
export type Lifecycle = {
  /**
   * Readiness waits for the task `name` until the returned function is called; a name is unique.
   */
  registerTask(name: string): () => void;
  /** A line that `/readyz` adds for people; it does not change readiness. */
  detail(read: () => string): void;
  details(): string[];
  /** Names that readiness still waits for, in order; empty means ready. */
  ready(): string[];
  /**
   * Registers a hook that runs at stop, in reverse order of registration, so that users of a
   * resource stop before the resource.
   */
  onStop(name: string, run: () => Promise<void> | void): void;
  /**
   * Ends readiness, then runs the hooks one after the other, all within the deadline. If a hook
   * fails or is still running at the deadline, it is logged and the result is false. A further call
   * joins the first.
   */
  stop(reason: string): Promise<boolean>;
};

export type LifecycleOptions = { log: Logger; deadlineMs: number };

export function createLifecycle({ log, deadlineMs }: LifecycleOptions): Lifecycle {
  const awaited = new Set<string>();
  const hooks: Hook[] = [];
  const readers: (() => string)[] = [];
  let stopping: Promise<boolean> | undefined;

  return {
    registerTask(name) {
      if (awaited.has(name)) throw new Error(`task "${name}" is registered already`);
      awaited.add(name);
      return () => {
        if (!awaited.delete(name)) return;
        log.info({ done: name, awaited: [...awaited] }, 'readiness advanced');
      };
    },
    detail: (read) => {
      readers.push(read);
    },
    details: () => readers.map((read) => read()),
    ready: () => [...(stopping ? ['stopping'] : []), ...awaited],
    onStop: (name, run) => {
      hooks.push({ name, run });
    },
    stop(reason) {
      stopping ??= runHooks(hooks.toReversed(), { log: log.child({ reason }), deadlineMs });
      return stopping;
    },
  };
}

async function runHooks(hooks: Hook[], { log, deadlineMs }: LifecycleOptions): Promise<boolean> {
  log.info({ deadlineMs }, 'stopping');
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, deadlineMs, 'late');
  });
  let clean = true;
  for (const hook of hooks) {
    const outcome = await Promise.race([runHook(hook), deadline]);
    if (outcome === 'done') continue;
    clean = false;
    if (outcome === 'late') {
      log.error({ hook: hook.name, deadlineMs }, 'stop hook missed the deadline');
      break;
    }
    log.error({ hook: hook.name, err: outcome }, 'stop hook failed');
  }
  clearTimeout(timer);
  log.info({ clean }, 'stopped');
  return clean;
}

async function runHook(hook: Hook): Promise<'done' | Error> {
  try {
    await hook.run();
    return 'done';
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Exit status after a signal, as a shell reports it for a killed process. */
const signals = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * The first SIGTERM or SIGINT stops in order and exits 0 (1 if a hook did not stop); the second
 * exits at once.
 */
export function stopOnSignals(lifecycle: Lifecycle, log: Logger): void {
  let seen = false;
  for (const [signal, status] of Object.entries(signals)) {
    process.on(signal, async () => {
      if (seen) {
        log.warn({ signal }, 'second signal, exiting at once');
        process.exit(status);
      }
      seen = true;
      const clean = await lifecycle.stop(signal);
      process.exit(clean ? 0 : 1);
    });
  }
}

import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EnvoyError, type EnvoyProcess } from './envoy-process.ts';
import type { Json } from './shipped-patches.ts';
import type { Configuration } from './sidecar-config.ts';

/**
 * The files that one Envoy watches, and the order of their changes: clusters are added before the
 * routes and listeners that use them, and removed after. With an Envoy attached, each step waits
 * until Envoy has accepted the file.
 */
export type XdsFiles = {
  clustersFile: string;
  listenersFile: string;
  routesFile(port: number): string;
  /** Throws a RejectedError if Envoy refuses it; the later steps are then skipped. */
  push(configuration: Configuration): Promise<void>;
  /**
   * From now on pushes wait for this process. Resolves when Envoy runs with the current files.
   */
  attach(envoy: EnvoyProcess): Promise<void>;
  /** The process ends: later pushes are for the next process. */
  detach(): void;
};

/** Envoy refused a resource: its name and Envoy's reason. */
export class RejectedError extends Error {
  constructor(envoy: string, resource: string, reason: string) {
    super(`Envoy ${envoy} rejects ${resource}: ${reason}`);
    this.name = 'RejectedError';
  }
}

/** One file with its place in Envoy's statistics. */
type Watched = { path: string; stats: string; what: string; body: string; version: number };

/** Five times the time for 10,000 clusters on a busy machine. */
const acceptTimeoutMs = 60_000;
/** The log arrives through a pipe, possibly later than the counter through the admin port. */
const logLagMs = 200;

export async function createXdsFiles(folder: string): Promise<XdsFiles> {
  await mkdir(folder, { recursive: true });
  const routesFile = (port: number) => join(folder, `routes-${port}.json`);
  const clusters = watched(join(folder, 'clusters.json'), 'cluster_manager.cds', 'the clusters');
  const listeners = watched(
    join(folder, 'listeners.json'),
    'listener_manager.lds',
    'the listeners',
  );
  const routes = new Map<number, Watched>();
  let current: Json[] = [];
  let envoy: EnvoyProcess | undefined;

  async function write(file: Watched, resources: Json[], isWatched = true): Promise<void> {
    const body = JSON.stringify(resources);
    if (body === file.body) return;
    const before = envoy && isWatched ? await readStats(envoy, file) : undefined;
    file.version += 1;
    file.body = body;
    const text = `{"version_info":"${file.version}","resources":${body}}`;
    await writeFile(`${file.path}.new`, text);
    // Envoy watches for the rename, and never sees half a file.
    await rename(`${file.path}.new`, file.path);
    if (envoy && before) await accepted(envoy, file, before);
  }

  function routesOf(port: number): Watched {
    const known = routes.get(port);
    if (known) return known;
    const stats = `http.outbound_0.0.0.0_${port}.rds.${port}`;
    const fresh = watched(routesFile(port), stats, `route configuration ${port}`);
    routes.set(port, fresh);
    return fresh;
  }

  async function push(next: Configuration): Promise<void> {
    await write(clusters, union(current, next.clusters));
    const isNew = (port: number) => !routes.has(port);
    const fresh = [...next.routes.keys()].filter(isNew);
    for (const [port, route] of next.routes) {
      // Envoy does not watch the routes of a listener that does not exist yet.
      await write(routesOf(port), [route], !fresh.includes(port));
    }
    await write(listeners, next.listeners);
    for (const port of fresh) if (envoy) await accepted(envoy, routesOf(port), none);
    for (const [port, file] of routes) {
      if (next.routes.has(port)) continue;
      routes.delete(port);
      await rm(file.path);
    }
    await write(clusters, next.clusters);
    current = next.clusters;
  }

  return {
    clustersFile: clusters.path,
    listenersFile: listeners.path,
    routesFile,
    push,
    detach() {
      envoy = undefined;
    },
    async attach(process) {
      envoy = process;
      for (const file of [clusters, ...routes.values(), listeners]) {
        await accepted(process, file, none);
      }
    },
  };
}

function watched(path: string, stats: string, what: string): Watched {
  return { path, stats, what, body: '', version: 0 };
}

/** Merges both lists in a stable order. If two have the same name, keeps the newer. */
function union(before: readonly Json[], after: readonly Json[]): Json[] {
  const byName = new Map([...before, ...after].map((each) => [each.name, each]));
  return [...byName.values()];
}

type Stats = { version: string; refused: number };
const none: Stats = { version: '', refused: 0 };

/** Envoy counts an unreadable file as failed, and a refused file as rejected. */
async function readStats(envoy: EnvoyProcess, { stats }: Watched): Promise<Stats> {
  const pattern = `^${stats.replaceAll('.', '\\.')}\\.(update_(rejected|failure)|version_text)$`;
  const text = await envoy.admin(`/stats?filter=${encodeURIComponent(pattern)}`);
  const value = (name: string) => new RegExp(`\\.${name}: "?([^"\\n]*)`).exec(text)?.[1] ?? '';
  return {
    version: value('version_text'),
    refused: Number(value('update_rejected')) + Number(value('update_failure')),
  };
}

async function accepted(envoy: EnvoyProcess, file: Watched, before: Stats): Promise<void> {
  const deadline = Date.now() + acceptTimeoutMs;
  for (;;) {
    const { version, refused } = await readStats(envoy, file);
    if (version === String(file.version)) return;
    if (refused > before.refused) {
      await sleep(logLagMs);
      throw rejection(envoy, file);
    }
    if (Date.now() > deadline) {
      const what = `has not accepted ${file.what} within ${acceptTimeoutMs / 1000} s`;
      throw new EnvoyError(envoy.name, what, envoy.log());
    }
    await sleep(5);
  }
}

/**
 * The admin port only counts refusals; the log has the cause. Envoy prints a resource that breaks a
 * rule of its own kind in full, its name first and the rule last.
 */
function rejection(envoy: EnvoyProcess, { what }: Watched): RejectedError {
  const lines = envoy.log();
  const marker = /Filesystem config update (?:rejected|failure): (.*)$/;
  const at = lines.findLastIndex((line) => marker.test(line));
  const reason = marker.exec(lines[at] ?? '')?.[1] ?? 'it gave no reason';
  const [, listed, rest] =
    /^Error adding\/updating (?:cluster|listener)\(s\) (.+?): (.*)$/.exec(reason) ?? [];
  if (listed) return new RejectedError(envoy.name, listed, rest ?? '');
  const printed = lines.slice(Math.max(at, 0));
  const rule = printed.findLast((line) => line.includes('constraint validation failed'));
  const [, name] =
    /^name: "([^"]+)"/.exec(printed.find((line) => /^name: "/.test(line)) ?? '') ?? [];
  return new RejectedError(envoy.name, (rule && name) ?? what, rule?.replace(/^: /, '') ?? reason);
}

import { startAdmin } from './frame/admin.ts';
import { bypassSettings, controllerSettings, nodeSettings } from './frame/config.ts';
import { ConfigError, exitStatus } from './frame/errors.ts';
import { createLifecycle, stopOnSignals } from './frame/lifecycle.ts';
import { createLog, openStdout } from './frame/log.ts';
import { createLogMetrics, createRegistry } from './frame/metrics.ts';
import type { RoleDeps } from './frame/role.ts';
import {
  describeSettings,
  readSettings,
  redacted,
  type Settings,
  type ValuesOf,
} from './frame/settings.ts';
import { version } from './frame/version.ts';

const usage = `lazyscope ${version}: every Istio sidecar carries only what its workload uses.

usage: lazyscope controller|node|bypass [--setting=value ...]
       lazyscope version
       lazyscope --help

Each setting is a flag or an environment variable; the flag wins.

controller
${describeSettings(controllerSettings)}

node
${describeSettings(nodeSettings)}

bypass
${describeSettings(bypassSettings)}
`;

/** A role is loaded only when it runs, because the memory of the node role counts on every node. */
async function main([role, ...args]: string[]): Promise<void> {
  if (role === '--help' || role === '-h' || args.includes('--help')) return print(usage);
  switch (role) {
    case 'version':
      return print(`${version}\n`);
    case 'node':
      return start(role, nodeSettings, args, async (config, deps) => {
        const { runNode } = await import('./node/node.ts');
        await runNode(config, deps);
      });
    case 'bypass':
      return start(role, bypassSettings, args, async (config, deps) => {
        const { runBypass } = await import('./bypass/bypass.ts');
        await runBypass(config, deps);
      });
    case 'controller':
      return start(role, controllerSettings, args, async (config, deps) => {
        const { runController } = await import('./controller/controller.ts');
        await runController(config, deps);
      });
    default:
      throw new ConfigError([
        {
          variable: 'role',
          value: role ?? '',
          problem: 'not a role',
          remedy: 'give controller, node, bypass, version or --help as the first argument',
        },
      ]);
  }
}

type Common = { logLevel: Parameters<typeof createLog>[1]; adminPort: number; stopSeconds: number };

async function start<Table extends Settings>(
  role: string,
  settings: Table,
  args: string[],
  run: (config: ValuesOf<Table>, deps: RoleDeps) => Promise<void>,
): Promise<void> {
  const config = readSettings(settings, process.env, args);
  const { logLevel, adminPort, stopSeconds } = config as ValuesOf<Table> & Common;

  const registry = createRegistry(version, role);
  const dropped = createLogMetrics(registry);
  const log = createLog(
    role,
    logLevel,
    openStdout(() => dropped.inc()),
  );
  log.info({ version, config: redacted(settings, config) }, 'starting');
  const lifecycle = createLifecycle({ log, deadlineMs: stopSeconds * 1000 });
  stopOnSignals(lifecycle, log);
  const deps = { log, lifecycle, registry, debug: new Map() };

  const started = lifecycle.registerTask('start');
  const admin = await startAdmin(deps, adminPort);
  lifecycle.onStop('admin', () => admin.close());
  await run(config, deps);
  started();
}

function print(text: string): void {
  process.stdout.write(text);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`lazyscope: ${error instanceof Error ? error.message : error}\n`);
  // A start that failed half-way leaves timers and sockets, so end the process here.
  process.exit(error instanceof ConfigError ? exitStatus.usage : exitStatus.failure);
});

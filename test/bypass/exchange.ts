import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { addresses } from '../../box/bypass/pods.ts';
import { type Sidecars, services } from '../../box/bypass/sidecars.ts';
import { repoDir } from '../../box/paths.ts';
import type { LoadOptions, LoadResult } from './exchange-app.ts';

/** The command that runs the application. */
const command = (...args: string[]) => [
  process.execPath,
  '--import',
  join(repoDir, 'node_modules/tsx/dist/esm/index.mjs'),
  join(import.meta.dirname, 'exchange-app.ts'),
  ...args,
];

export type Load = Partial<LoadOptions> & Pick<LoadOptions, 'bytesMax'>;

/** Starts the application behind the sidecar of the server. */
export const startServer = (sidecars: Sidecars) =>
  sidecars.start(sidecars.server, command('serve', String(services.http.local)));

/**
 * Starts the load in the pod of the client. The result resolves when the time is over or when the
 * load is stopped.
 */
export function startLoad(sidecars: Sidecars, options: Load) {
  const whole = { host: addresses[1], port: services.http.port, connections: 8, ...options };
  const child = sidecars.start(sidecars.client, command('load', JSON.stringify(whole)));
  const result = text(child.stdout).then((out) => JSON.parse(out) as LoadResult);
  const begun = new Promise((resolve) => child.stderr.once('data', resolve));
  const stop = async () => {
    await Promise.race([begun, result]);
    child.kill('SIGTERM');
    return result;
  };
  return { child, result, stop };
}

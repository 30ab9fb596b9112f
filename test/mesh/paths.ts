import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Everything of ours outside the repository carries this name: cgroups, interfaces, folders. */
export const prefix = 'lazyscope-mesh';

/** Builds that are expensive to make and depend only on their pins. Safe to delete. */
export const cacheDir =
  process.env.LAZYSCOPE_CACHE ??
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'lazyscope');

/** What the one running mesh writes. Removed by `down`. On disk, because container roots are large. */
export const stateDir = process.env.LAZYSCOPE_MESH_DIR ?? join('/var/tmp', prefix);

export const logDir = join(stateDir, 'logs');
export const kubeconfigPath = join(stateDir, 'pki', 'admin.kubeconfig');
/** Outside the state folder, so that it outlives the folder's removal and a lock is never unlinked. */
export const lockPath = `${stateDir}.lock`;

export const repoDir = fileURLToPath(new URL('../..', import.meta.url));
export const meshDir = fileURLToPath(new URL('.', import.meta.url));

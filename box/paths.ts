import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../embedded/cache-folder.ts';

/** Builds that are expensive to make and depend only on their pins. Safe to delete. */
export const cacheDir = cacheFolder();

/** What one running mesh writes. Removed by `down`. On disk, because container roots are large. */
export const stateDir = process.env.LAZYSCOPE_MESH_DIR ?? '/var/tmp/lazyscope-mesh';
/** Everything of a mesh outside its folder carries this name, so that several can be up at once. */
export const prefix = basename(stateDir);

export const logDir = join(stateDir, 'logs');
export const kubeconfigPath = join(stateDir, 'pki', 'admin.kubeconfig');
/** Where the API server is reached from outside the box's network. */
export const apiSocketPath = join(stateDir, 'api.sock');
/**
 * Outside the state folder, so that it outlives the folder's removal and a lock is never unlinked.
 */
export const lockPath = `${stateDir}.lock`;

export const repoDir = fileURLToPath(new URL('..', import.meta.url));
export const boxDir = fileURLToPath(new URL('.', import.meta.url));

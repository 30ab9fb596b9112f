import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../embedded/cache-folder.ts';

/** Expensive builds that depend only on their pins. Safe to delete. */
export const cacheDir = cacheFolder();

/** State of a running mesh, removed by `down`. On disk, because container roots are large. */
export const stateDir = process.env.LAZYSCOPE_MESH_DIR ?? '/var/tmp/lazyscope-mesh';
/** The name of all objects of a mesh outside its folder, so that several meshes can be up. */
export const prefix = basename(stateDir);

export const logDir = join(stateDir, 'logs');
export const kubeconfigPath = join(stateDir, 'pki', 'admin.kubeconfig');
/** The socket of the API server outside the box's network. */
export const apiSocketPath = join(stateDir, 'api.sock');
/** The lock is outside the state folder, so that `down` never unlinks it. */
export const lockPath = `${stateDir}.lock`;

export const repoDir = fileURLToPath(new URL('..', import.meta.url));
/** The loader of the bypass, as `make -C bpf` leaves it. */
export const loaderPath = join(repoDir, 'build/bypass/lazyscope-bypass');
export const boxDir = fileURLToPath(new URL('.', import.meta.url));

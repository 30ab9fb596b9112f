import { startMesh } from '../mesh.ts';
import { installServers, installSystem } from './rig.ts';

/** Enough that a proxy with full configuration can be told from a narrow one. */
const services = 100;

/** A mesh whose scopes live fast, and servers for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  const mesh = await startMesh({ services });
  try {
    await Promise.all([installSystem(mesh), installServers(mesh)]);
  } catch (error) {
    await mesh.stop();
    throw error;
  }
  return mesh.stop;
}

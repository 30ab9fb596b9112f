import { companionArchive } from '../../../box/artifacts/companion-image.ts';
import { startMesh } from '../../../box/mesh.ts';
import { installClients } from './clients.ts';
import { installServers, installSystem, say } from './rig.ts';

/** Enough that a proxy with full configuration can be told from a narrow one. */
const services = 100;

/** A mesh whose scopes live fast, and servers for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  // Built while the mesh comes up.
  const [mesh] = await Promise.all([startMesh({ services }), companionArchive(say)]);
  try {
    await Promise.all([installSystem(mesh), installServers(mesh), installClients(mesh)]);
  } catch (error) {
    await mesh.stop();
    throw error;
  }
  return mesh.stop;
}

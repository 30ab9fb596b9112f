import { companionArchive } from '../../../box/artifacts/companion-image.ts';
import { startMesh } from '../../../box/mesh.ts';
import { installClients } from './clients.ts';
import { installServers, installSystem, say } from './rig.ts';

/** With 100 services a proxy with full configuration can be told from a narrowed proxy. */
const services = 100;

/** Starts a mesh whose scopes expire fast, with servers for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  const mesh = await startMesh({
    services,
    archives: [await companionArchive(say)],
    // Kubernetes' default: one of the files takes a node away, and none ends the API server.
    nodeGraceSeconds: 50,
  });
  try {
    await Promise.all([installSystem(mesh), installServers(mesh), installClients(mesh)]);
  } catch (error) {
    await mesh.stop();
    throw error;
  }
  return mesh.stop;
}

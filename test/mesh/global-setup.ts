import { startMesh } from '../../box/mesh.ts';

/**
 * Starts one mesh for all test files of the group. With MESH=keep the mesh stays up for the next
 * run.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const { stop } = await startMesh();
  return stop;
}

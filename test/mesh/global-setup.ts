import { startMesh } from '../../box/mesh.ts';

/** One mesh for all test files of the group; MESH=keep uses or leaves one that stays up. */
export default async function setup(): Promise<() => Promise<void>> {
  const { stop } = await startMesh();
  return stop;
}

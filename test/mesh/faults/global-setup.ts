import { startMeshWithProduct } from '../../../box/product.ts';
import { nextRelease } from './next-release.ts';
import { createTargets } from './targets.ts';

/** Few services, because faults do not depend on the size of the mesh. */
const services = 50;

const say = (line: string) => console.error(`faults: ${line}`);

/** Starts a mesh with the product and the servers, for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  const mesh = await startMeshWithProduct(services, say);
  await createTargets(mesh).catch(async (error) => {
    await mesh.stop();
    throw error;
  });
  // The last file needs it. If it fails, that file fails, too.
  const building = nextRelease(say).catch(() => {});
  return async () => {
    await building;
    await mesh.stop();
  };
}

import { startMeshWithProduct } from '../../../box/product.ts';

/** Few services, because faults do not depend on the size of the mesh. */
const services = 50;

const say = (line: string) => console.error(`faults: ${line}`);

/** Starts a mesh with the product installed, for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  const { stop } = await startMeshWithProduct(services, say);
  return stop;
}

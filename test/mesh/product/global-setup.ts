import { startMeshWithProduct } from '../../../box/product.ts';

/** Enough to narrow. The files for a large mesh grow it (`large-mesh.ts`). */
const services = 50;

const say = (line: string) => console.error(`product: ${line}`);

/** Starts a mesh with the product installed, for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  const { stop } = await startMeshWithProduct(services, say);
  return stop;
}

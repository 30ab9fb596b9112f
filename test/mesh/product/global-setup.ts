import { startMeshWithProduct } from '../../../box/product.ts';

/** The size of mesh from which lazy scopes matter. */
const services = 1000;

const say = (line: string) => console.error(`product: ${line}`);

/** Starts a mesh of 1,000 services with the product installed, for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  const { stop } = await startMeshWithProduct(services, say);
  return stop;
}

import { startMeshWithProduct } from '../../../box/product.ts';

/** Few, because what breaks is not a matter of size. */
const services = 50;

const say = (line: string) => console.error(`faults: ${line}`);

/** A mesh with the product installed, for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  const { stop } = await startMeshWithProduct(services, say);
  return stop;
}

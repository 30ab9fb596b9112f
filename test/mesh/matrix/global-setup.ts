import { startMeshWithProduct } from '../../../box/product.ts';

/** Behaviour is compared here, not size: enough services to tell a narrowed proxy by. */
const services = 50;

const say = (line: string) => console.error(`matrix: ${line}`);

/** A mesh with the product installed, for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  const { stop } = await startMeshWithProduct(services, say);
  return stop;
}

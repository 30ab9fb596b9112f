import { startMeshWithProduct } from '../../../box/product.ts';

/**
 * The matrix compares behaviour, not size. With 50 services a narrowed proxy can be told from a
 * full one.
 */
const services = 50;

const say = (line: string) => console.error(`matrix: ${line}`);

/** Starts a mesh with the product installed, for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  const { stop } = await startMeshWithProduct(services, say);
  return stop;
}

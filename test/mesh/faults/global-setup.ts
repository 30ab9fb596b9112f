import { startMesh } from '../../../box/mesh.ts';
import { installProduct } from '../../../box/product.ts';

const say = (line: string) => console.error(`faults: ${line}`);

/** A mesh with the product; few services, because what breaks is not a matter of size. */
export default async function setup(): Promise<() => Promise<void>> {
  const mesh = await startMesh({ services: 50 });
  try {
    await installProduct(mesh, say, { LAZYSCOPE_LEARNING_WINDOW_SECONDS: '0' });
  } catch (error) {
    await mesh.stop();
    throw error;
  }
  return mesh.stop;
}

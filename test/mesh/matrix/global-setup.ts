import { startMesh } from '../../../box/mesh.ts';
import { installProduct } from '../../../box/product.ts';

/** Behaviour is compared here, not size: enough services to tell a narrowed proxy by. */
const services = 50;

const say = (line: string) => console.error(`matrix: ${line}`);

/** A mesh with the product installed, for all files of the group. */
export default async function setup(): Promise<() => Promise<void>> {
  const mesh = await startMesh({ services });
  try {
    // Narrow at once: the length of the learning window is not what these tests are about.
    await installProduct(mesh, say, { LAZYSCOPE_LEARNING_WINDOW_SECONDS: '0' });
  } catch (error) {
    await mesh.stop();
    throw error;
  }
  return mesh.stop;
}

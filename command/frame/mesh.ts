import { KubeError } from '../../companion/kube/object.ts';
import { controllerDeployment, type Mesh, mayLack, readMesh } from '../mesh/read.ts';
import { CommandError } from './failure.ts';
import type { Session } from './verb.ts';

/** Reads the whole mesh with the user's rights; says what cannot be read, and goes on. */
export async function readWholeMesh({ cluster, out, now }: Session): Promise<Mesh> {
  const { list, get } = await cluster();
  const { resource, name, namespace } = controllerDeployment;
  const controller = await get(resource, name, namespace).catch((error: unknown) => {
    if (!(error instanceof CommandError)) throw error;
    out.warn(`${error.message}: the default settings of the controller are assumed\n`);
    return undefined;
  });
  return readMesh(
    {
      controller,
      list: (kind) =>
        list(kind).catch((error: { cause?: unknown }) => {
          const { cause } = error;
          if (mayLack(kind) && cause instanceof KubeError && cause.status === 404) return undefined;
          throw error;
        }),
    },
    {
      now,
      unreadable: (what, error) =>
        out.warn(`${what} is left out: it cannot be read: ${error.message}\n`),
    },
  );
}

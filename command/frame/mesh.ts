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
  const wanted = new Set<string>();
  return readMesh(
    {
      controller,
      list(kind) {
        const { plural, group } = kind;
        if (!kind.namespace) wanted.add(group ? `${plural}.${group}` : plural);
        return list(kind).catch((error: { cause?: unknown }) => {
          const { cause } = error;
          if (mayLack(kind) && cause instanceof KubeError && cause.status === 404) return undefined;
          throw kind.namespace ? error : withAllRights(error, [...wanted]);
        });
      },
    },
    {
      now,
      unreadable: (what, error) =>
        out.warn(`${what} is left out: it cannot be read: ${error.message}\n`),
    },
  );
}

/** Names all that is read at once: one right after the other would take as many attempts. */
function withAllRights(error: { cause?: unknown }, wanted: readonly string[]): unknown {
  const { cause } = error;
  if (!(error instanceof CommandError && cause instanceof KubeError && cause.status === 403))
    return error;
  const remedy = `this verb reads the whole mesh: ask for all of it, and for a binding: kubectl create clusterrole lazyscope-reader --verb=list --resource=${[...wanted].sort().join(',')}`;
  return Object.assign(new CommandError(error.message, remedy, error.code), { cause });
}

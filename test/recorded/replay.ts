import { once } from 'node:events';
import { createServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import type { Cluster } from '../../command/frame/cluster.ts';
import { CommandError } from '../../command/frame/failure.ts';
import { controllerServerName } from '../../companion/contract/rpc.ts';
import { selfSigned } from '../../companion/controller/nodes/x509.ts';
import { KubeError } from '../../companion/kube/object.ts';
import { listKey, objectKey, type Recording, serverKey } from './recording.ts';

/** The cluster of a recording: it answers what the real one answered, and nothing else. */
export function replayed({ lists, objects, fetched, printed }: Recording): Cluster {
  const known = <Value>(all: Record<string, Value>, key: string): Value => {
    if (key in all) return all[key] as Value;
    throw new Error(`${key} is not in the recording: npm run record:mesh`);
  };
  const unused = () => Promise.reject(new CommandError('a recording answers no such question', ''));
  return {
    namespace: 'default',
    async list(resource) {
      const key = listKey(resource);
      if (key in lists) return known(lists, key);
      // The real cluster lacked the kind.
      const cause = new KubeError(404, 'not found');
      throw Object.assign(new CommandError(`${key}: no such kind`, ''), { cause });
    },
    get: async (resource, name, namespace) =>
      known(objects, objectKey(resource, name, namespace)) ?? undefined,
    patch: async (_, { name }) => ({ apiVersion: '', kind: '', metadata: { name } }),
    fetchFrom: async (server, path) => known(fetched, `${serverKey(server)}${path}`),
    exec: async ({ namespace, name }, command) =>
      known(printed, `${namespace}/${name} ${command.join(' ')}`),
    ...{
      followLog: unused,
      connectTo: unused,
      createToken: async () => 'recorded',
      ownToken: async () => undefined,
    },
    close: () => undefined,
  };
}

/** The same with a controller whose page answers what the real one answered. */
export async function replayedWithPage(
  recording: Recording,
): Promise<{ cluster: Cluster; stop(): void }> {
  const keys = selfSigned(controllerServerName, new Date(Date.now() - 60_000), 1);
  const server = createServer({ key: keys.key, cert: keys.certificate }, ({ url = '' }, response) =>
    response.end(JSON.stringify(recording.console[url] ?? { error: `${url}: not recorded` })),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const cluster = replayed(recording);
  return {
    cluster: {
      ...cluster,
      get: async (resource, name, namespace) =>
        name === 'lazyscope-ca'
          ? {
              apiVersion: 'v1',
              kind: 'ConfigMap',
              metadata: { name },
              data: { 'ca.crt': keys.certificate },
            }
          : cluster.get(resource, name, namespace),
      async connectTo() {
        const socket = connect(port, '127.0.0.1');
        await once(socket, 'connect');
        return socket;
      },
    },
    stop: () => server.close(),
  };
}

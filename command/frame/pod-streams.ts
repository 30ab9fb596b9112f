import { Duplex, PassThrough, Writable } from 'node:stream';
import type { KubeConfig } from '@kubernetes/client-node';
import { collectionPath } from '../../companion/kube/path.ts';
import { CommandError } from './failure.ts';

/** A pod by its place. */
export type PodTarget = { namespace: string; name: string };

/** Streams to pods by WebSockets of the API server, which the official client speaks. */

/** Starting a process in a pod of a loaded node takes seconds. */
const requestMs = 60_000;
/** A configuration of a proxy with 10,000 services is a fourth of it. */
const outputMax = 256e6;

export async function execIn(
  config: KubeConfig,
  { namespace, name, container }: PodTarget & { container: string },
  command: string[],
): Promise<string> {
  const { Exec } = await import('@kubernetes/client-node');
  const chunks: Buffer[] = [];
  const errors: Buffer[] = [];
  let size = 0;
  const into = (list: Buffer[]) =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        size += chunk.length;
        if (size <= outputMax) list.push(chunk);
        done();
      },
    });
  const refused = (reason: string) =>
    new CommandError(
      `${command.join(' ')} in pod ${namespace}/${name}: ${reason}`,
      'check that the pod runs, and that you may create pods/exec there: kubectl auth can-i create pods/exec',
    );
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(refused('no answer within 60 s')), requestMs);
    const end = (error?: Error) => {
      clearTimeout(timer);
      if (error) reject(error);
      else resolve();
    };
    new Exec(config)
      .exec(
        ...([namespace, name, container, command, into(chunks), into(errors)] as const),
        ...([null, false] as const),
        ({ status, message }) =>
          end(status === 'Success' ? undefined : refused(message ?? String(status))),
      )
      .then(
        (socket) => socket.on('close', () => end(refused('the connection ended'))),
        (error: { message?: string }) => end(refused(error.message ?? String(error))),
      );
  });
  if (size > outputMax) throw refused(`it wrote more than ${outputMax / 1e6} MB`);
  return Buffer.concat(chunks).toString();
}

export async function connectTo(
  config: KubeConfig,
  { namespace, name }: PodTarget,
  port: number,
): Promise<Duplex> {
  const { PortForward } = await import('@kubernetes/client-node');
  const [sent, received, failures] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const refused = (reason: string) =>
    new CommandError(
      `port ${port} of pod ${namespace}/${name}: ${reason}`,
      'check that the pod runs, and that you may create pods/portforward there: kubectl auth can-i create pods/portforward',
    );
  const socket = await new PortForward(config)
    .portForward(namespace, name, [port], received, failures, sent)
    .catch((error: { message?: string }) => {
      throw refused(error.message ?? String(error));
    });
  // Without retries, which would lose bytes, the client returns the socket itself.
  if (typeof socket === 'function') throw refused('the client offers no single connection');
  const stream = Duplex.from({ readable: received, writable: sent });
  failures.on('data', (text: Buffer) => stream.destroy(refused(text.toString().trim())));
  socket.onclose = () => received.end();
  socket.onerror = (event: { message: string }) => stream.destroy(refused(event.message));
  stream.on('close', () => socket.close());
  return stream;
}

/** The log of a container from now on, or from so many seconds ago. */
export function logPath(
  { namespace, name, container }: PodTarget & { container: string },
  sinceSeconds: number | undefined,
): string {
  const query = new URLSearchParams({ follow: 'true', container });
  if (sinceSeconds === undefined) query.set('tailLines', '0');
  else query.set('sinceSeconds', String(sinceSeconds));
  const path = collectionPath({ group: '', version: 'v1', plural: 'pods' }, namespace, name);
  return `${path}/log?${query}`;
}

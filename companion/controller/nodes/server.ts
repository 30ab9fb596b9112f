import { Server, ServerCredentials } from '@grpc/grpc-js';
import { controllerServerOptions, controllerService } from '../../contract/rpc.ts';
import { anyAddress } from '../../frame/any-address.ts';
import type { Nodes } from './streams.ts';

export type ServingKeys = { certificate: string; key: string };

/** Opens the port; the returned function closes it and every stream. */
export async function startNodeServer(
  nodes: Nodes,
  { certificate, key }: ServingKeys,
  port: number,
): Promise<{ port: number; stop(): Promise<void> }> {
  const server = new Server(controllerServerOptions);
  server.addService(controllerService, { connect: nodes.connect });
  const credentials = ServerCredentials.createSsl(null, [
    { cert_chain: Buffer.from(certificate), private_key: Buffer.from(key) },
  ]);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(
      `${anyAddress() === '::' ? '[::]' : '0.0.0.0'}:${port}`,
      credentials,
      (error, actual) => (error ? reject(error) : resolve(actual)),
    );
  });
  return {
    port: bound,
    stop: () =>
      new Promise((resolve) => {
        server.forceShutdown();
        resolve();
      }),
  };
}

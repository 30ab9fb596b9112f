import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import {
  type Answer,
  authorizationKey,
  type ControllerStream,
  controllerServerName,
  controllerServerOptions,
  controllerService,
  type NodeMessage,
  type ProxyReport,
  type Question,
} from '../../companion/contract/rpc.ts';
import { selfSigned } from '../../companion/controller/nodes/x509.ts';
import { answerOf } from './fixtures.ts';

/** A temporary self-signed certificate, created as the controller creates its own. */
export async function makeCertificate() {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-'));
  const { certificate, key } = selfSigned(controllerServerName, new Date(), 2);
  const [caPath, tokenPath] = [join(folder, 'ca.pem'), join(folder, 'token')];
  await writeFile(caPath, certificate);
  await writeFile(tokenPath, 'token-1\n');
  return {
    certificate: Buffer.from(certificate),
    key: Buffer.from(key),
    caPath,
    tokenPath,
    remove: () => rm(folder, { recursive: true }),
  };
}

export type Certificate = Awaited<ReturnType<typeof makeCertificate>>;

/** A real gRPC server with decisions of the test. */
export async function startFakeController(certificate: Certificate, address = '127.0.0.1:0') {
  const server = new Server(controllerServerOptions);
  const streams = new Set<ControllerStream>();
  const received: NodeMessage[] = [];
  const tokens: string[] = [];
  const controller = {
    answer: (_question: Question): Partial<Answer> | undefined => ({}),
    received,
    tokens,
    port: 0,
    reports: (pod: string): ProxyReport[] =>
      received.flatMap(({ report }) => (report?.pod === pod ? [report] : [])),
    questions: (): Question[] => received.flatMap(({ question }) => (question ? [question] : [])),
    forget(namespace: string, pod: string) {
      for (const stream of streams) stream.write({ forget: { namespace, pod } });
    },
    async stop() {
      server.forceShutdown();
    },
  };
  server.addService(controllerService, {
    connect(stream: ControllerStream) {
      streams.add(stream);
      tokens.push(String(stream.metadata.get(authorizationKey)[0]));
      stream.on('data', (message: NodeMessage) => {
        received.push(message);
        const answer = message.question && controller.answer(message.question);
        if (answer)
          stream.write({ answer: answerOf({ ...answer, id: message.question?.id ?? 0 }) });
      });
      stream.on('end', () => stream.end());
      stream.on('close', () => streams.delete(stream));
    },
  });
  const bind = promisify(server.bindAsync.bind(server));
  const keys = { private_key: certificate.key, cert_chain: certificate.certificate };
  controller.port = await bind(address, ServerCredentials.createSsl(null, [keys]));
  return controller;
}

export type FakeController = Awaited<ReturnType<typeof startFakeController>>;

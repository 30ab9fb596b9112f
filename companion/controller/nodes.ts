import { type Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { anyAddress } from '../admin.ts';
import { messageOf } from '../errors.ts';
import type { Kube } from '../kube.ts';
import {
  type Answer,
  authorizationKey,
  type ControllerHandlers,
  type ControllerStream,
  controllerServerOptions,
  controllerService,
  type NodeMessage,
  type ProxyGone,
  type ProxyReport,
  type Question,
} from '../rpc.ts';
import type { ControllerMetrics } from './metrics.ts';

/** What the controller does with the words of a node companion. */
export type NodeHandlers = {
  onReport(node: string, report: ProxyReport): void;
  onGone(node: string, gone: ProxyGone): void;
  /** Answers at once. */
  onQuestion(node: string, question: Question): Answer;
};

export type NodesOptions = NodeHandlers & {
  kube: Pick<Kube, 'tokenReview'>;
  log: Logger;
  metrics: ControllerMetrics;
  /** The namespace that node companions run in. */
  namespace: string;
};

export type Nodes = {
  /** Asks every connected node to send what it knows of a pod again. */
  forget(pod: { namespace: string; pod: string }): void;
  connect: ControllerHandlers['connect'];
};

const audience = 'lazyscope';
/** Kubernetes supports 5,000 nodes; more streams than that are not node companions. */
const streamsMax = 5_000;
/** A node companion says hello at once. */
const helloMs = 5_000;
/** The node of a bound token (Kubernetes 1.30 and later put it into every projected token). */
const nodeNameKey = 'authentication.kubernetes.io/node-name';

/** Talks with the node companions, each on a stream of its own. */
export function createNodes(options: NodesOptions): Nodes {
  const { log, metrics } = options;
  const streams = new Set<ControllerStream>();

  function refuse(stream: ControllerStream, code: status, reason: string, detail: string): void {
    metrics.streamsRefused.inc({ reason });
    log.warn({ reason, detail, peer: stream.getPeer() }, 'node stream refused');
    streams.delete(stream);
    stream.emit('error', { code, details: `${reason}: ${detail}` });
  }

  function connect(stream: ControllerStream): void {
    if (streams.size >= streamsMax) {
      refuse(stream, status.RESOURCE_EXHAUSTED, 'too many streams', `limit ${streamsMax}`);
      return;
    }
    streams.add(stream);
    metrics.streams.set(streams.size);
    const close = () => {
      streams.delete(stream);
      metrics.streams.set(streams.size);
    };
    stream.on('error', close);
    stream.on('close', close);
    stream.on('end', () => {
      close();
      stream.end();
    });
    serve(options, stream).catch((error: unknown) => {
      refuse(stream, codeOf(error), reasonOf(error), messageOf(error));
    });
  }

  return {
    connect,
    forget(forget) {
      for (const stream of streams) stream.write({ forget });
    },
  };
}

class Refusal extends Error {
  readonly code: status;
  readonly reason: string;
  constructor(code: status, reason: string, detail: string) {
    super(detail);
    this.code = code;
    this.reason = reason;
  }
}

function codeOf(error: unknown): status {
  return error instanceof Refusal ? error.code : status.INTERNAL;
}

function reasonOf(error: unknown): string {
  return error instanceof Refusal ? error.reason : 'failed';
}

/** One stream from its token to its end. */
async function serve(options: NodesOptions, stream: ControllerStream): Promise<void> {
  // Messages wait in the stream while the token is reviewed.
  const tokenNode = await authenticate(options, stream.metadata);
  const hello = await firstMessage(stream);
  if (!hello.hello) {
    throw new Refusal(status.FAILED_PRECONDITION, 'no hello', 'the first message must be Hello');
  }
  const { node, version } = hello.hello;
  if (tokenNode !== undefined && tokenNode !== node) {
    const detail = `node ${node}: the token was issued to a pod of ${tokenNode}`;
    throw new Refusal(status.PERMISSION_DENIED, 'wrong node', detail);
  }
  options.log.info({ node, version, peer: stream.getPeer() }, 'node connected');
  stream.on('data', (message: NodeMessage) => {
    try {
      handle(options, node, message, stream);
    } catch (err) {
      // A message that breaks us is our fault, and no reason to lose the node.
      options.log.error({ err, node }, 'handling of a node message failed');
    }
  });
}

function handle(
  { onReport, onGone, onQuestion }: NodesOptions,
  node: string,
  { report, question, gone }: NodeMessage,
  stream: ControllerStream,
): void {
  if (question) stream.write({ answer: onQuestion(node, question) });
  else if (report) onReport(node, report);
  else if (gone) onGone(node, gone);
}

function firstMessage(stream: ControllerStream): Promise<NodeMessage> {
  return new Promise((resolve, reject) => {
    const refusal = new Refusal(status.DEADLINE_EXCEEDED, 'no hello', `none in ${helloMs} ms`);
    const timer = setTimeout(() => reject(refusal), helloMs);
    stream.once('data', (message: NodeMessage) => {
      clearTimeout(timer);
      // Nothing is lost between the hello and the listener of what follows.
      stream.pause();
      resolve(message);
      setImmediate(() => stream.resume());
    });
  });
}

/** The node that the token is bound to, if it says so. */
async function authenticate(
  { kube, namespace }: NodesOptions,
  metadata: Metadata,
): Promise<string | undefined> {
  const [header] = metadata.get(authorizationKey);
  const token = /^Bearer (\S+)$/.exec(String(header ?? ''))?.[1];
  if (!token) {
    throw new Refusal(
      status.UNAUTHENTICATED,
      'no token',
      `metadata ${authorizationKey} is missing`,
    );
  }
  const review = await kube.tokenReview(token, [audience]);
  if (!review.authenticated) {
    throw new Refusal(status.UNAUTHENTICATED, 'bad token', review.error ?? 'not authenticated');
  }
  const wanted = `system:serviceaccount:${namespace}:lazyscope-node`;
  if (review.username !== wanted) {
    const detail = `${review.username}: only ${wanted} may connect`;
    throw new Refusal(status.PERMISSION_DENIED, 'wrong account', detail);
  }
  return review.extra?.[nodeNameKey]?.[0];
}

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

import type { PortName } from './servers.ts';

type Call = {
  scheme: 'http' | 'https' | 'grpc' | 'tcp' | 'ws';
  /** The Service port for this protocol. */
  port: PortName;
  path?: string;
  flags?: string[];
};

const megabytes50 = 50 * 1024 * 1024;

/**
 * Every kind of call, as options of `meshapp call`. A TCP call half-closes and waits until the
 * server has said goodbye.
 */
export const calls = {
  http1: { scheme: 'http', port: 'http', path: '/a?b=c' },
  post: { scheme: 'http', port: 'http', flags: ['--data', 'a body that can be sent again'] },
  denied: { scheme: 'http', port: 'http', path: '/denied' },
  http2: { scheme: 'http', port: 'http', flags: ['--http2'] },
  'grpc-unary': { scheme: 'grpc', port: 'grpc', flags: ['--data', 'x'] },
  'grpc-sent': { scheme: 'grpc', port: 'grpc', flags: ['--grpc-sent', '20', '--data', 'four'] },
  'grpc-received': { scheme: 'grpc', port: 'grpc', flags: ['--grpc-received', '20'] },
  'grpc-bidi': { scheme: 'grpc', port: 'grpc', flags: ['--grpc-stream', '20'] },
  websocket: { scheme: 'ws', port: 'http', path: '/ws', flags: ['--data', 'over the socket'] },
  sse: { scheme: 'http', port: 'http', path: '/sse?events=3&interval=20ms', flags: ['--sse'] },
  upload: { scheme: 'http', port: 'http', flags: ['--data-bytes', String(megabytes50)] },
  download: { scheme: 'http', port: 'http', path: `/bytes/${megabytes50}` },
  expect: {
    scheme: 'http',
    port: 'http',
    flags: ['--header', 'Expect: 100-continue', '--data-bytes', '100000'],
  },
  trailers: {
    scheme: 'http',
    port: 'http',
    flags: ['--http2', '--data', 'x', '--trailer', 'X-Sum: 1'],
  },
  http10: { scheme: 'http', port: 'http', flags: ['--http1.0'] },
  tls: { scheme: 'https', port: 'tls', flags: ['--insecure'] },
  'tcp-client': { scheme: 'tcp', port: 'tcp-echo', flags: ['--send', 'hello'] },
  'tcp-server': { scheme: 'tcp', port: 'tcp-server-first' },
} as const satisfies Record<string, Call>;

export type CallKind = keyof typeof calls;

/** Arguments of `meshapp call`. */
export function callArguments(kind: CallKind, host: string, port: number, more: string[]) {
  const { scheme, path = '', flags = [] }: Call = calls[kind];
  const authority = scheme === 'http' && port === 80 ? host : `${host}:${port}`;
  return [...flags, ...more, '--timeout', '30s', `${scheme}://${authority}${path}`];
}

import { fileURLToPath } from 'node:url';
import { loadSync } from '@grpc/proto-loader';

/** Writes messages of Envoy's access log service by companion/contract/access-log.proto. */

export type PlayedEntry = {
  common: {
    downstreamLocalAddress?: { socketAddress?: { address: string; portValue: number } };
    tlsProperties?: { tlsSniHostname: string };
    upstreamCluster?: string;
    intermediateLogEntry?: boolean;
    accessLogType?: number;
  };
  request?: { authority?: string; path?: string; userAgent?: string };
};

type Encoder = { serialize(value: unknown): Buffer };

const file = new URL('../../companion/contract/access-log.proto', import.meta.url);

function encoderOf(): Encoder {
  const loaded = loadSync(fileURLToPath(file));
  const found = loaded['lazyscope.accesslog.StreamAccessLogsMessage'] as unknown as Encoder;
  return found;
}

const encoder = encoderOf();

export function logMessage(kind: 'http' | 'tcp', entries: readonly PlayedEntry[]): Buffer {
  const logEntry = entries.map(({ common, request }) => ({ commonProperties: common, request }));
  return encoder.serialize({ [`${kind}Logs`]: { logEntry } });
}

/** As a message of a gRPC stream. */
export function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** An entry of a request to a known cluster. */
export const entryOf = (cluster: string, more: Partial<PlayedEntry['common']> = {}) => ({
  common: {
    downstreamLocalAddress: { socketAddress: { address: '10.96.0.7', portValue: 9080 } },
    upstreamCluster: cluster,
    accessLogType: 6,
    ...more,
  },
  request: { authority: 'reviews:9080', path: '/secret?of=a', userAgent: 'curl' },
});

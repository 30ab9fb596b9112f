import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import type { HttpServer } from '../../command/frame/cluster.ts';
import type { KubeObject, Resource } from '../../companion/kube/object.ts';

/** What a real mesh answered to the command, by what it was asked. */
export type Recording = {
  /** Milliseconds since the epoch. */
  now: number;
  lists: Record<string, KubeObject[]>;
  objects: Record<string, KubeObject | null>;
  /** What pods and Services answered, by `kind/namespace/name:port/path`. */
  fetched: Record<string, string>;
  /** Output of commands in containers, by `namespace/name command`. */
  printed: Record<string, string>;
  /** Answers of the API of the page, by path. */
  console: Record<string, unknown>;
};

/** `observed`: with full configuration and the shop observed; `narrowed`: enforced and called. */
export const names = ['observed', 'narrowed'] as const;
export type RecordingName = (typeof names)[number];

export const listKey = ({ group, plural, namespace, fieldSelector, labelSelector }: Resource) =>
  [plural, group, namespace, fieldSelector, labelSelector].map((each) => each ?? '').join('|');
/** `kind/namespace/name:port`, or `nodes/name`. */
export const serverKey = (server: HttpServer) =>
  server.kind === 'nodes'
    ? `nodes/${server.name}`
    : `${server.kind}/${server.namespace}/${server.name}:${server.port}`;
export const objectKey = ({ group, plural }: Resource, name: string, namespace?: string) =>
  [plural, group, namespace ?? '', name].join('|');

/** Access logs of the shop's frontend, which the command reads as a file. */
export const logFile = join(import.meta.dirname, 'mesh', 'frontend.log.gz');
const file = join(import.meta.dirname, 'mesh', 'mesh.json.br');

type All = Record<RecordingName, Recording>;
let known: All | undefined;

export function recordingOf(name: RecordingName): Recording {
  known ??= JSON.parse(brotliDecompressSync(readFileSync(file)).toString()) as All;
  return known[name];
}

/** The recordings have most objects in common, which one window of brotli holds. */
export function keepRecordings(all: All): void {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 10,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
  };
  writeFileSync(file, brotliCompressSync(JSON.stringify(all), { params }));
}

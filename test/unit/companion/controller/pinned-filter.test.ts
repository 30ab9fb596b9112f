import { pino } from 'pino';
import { expect, test } from 'vitest';
import { createNotices } from '../../../../companion/controller/reconcile/notices.ts';
import type { News, Sink } from '../../../../companion/controller/reconcile/sink.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { filterObjects, kube, start } from './shop.ts';

const served = ['a'.repeat(64), 'b'.repeat(64)];

/**
 * The Events that a controller with the given filters reports to a namespace whose plugins pin this
 * filter.
 */
async function toldOf(sha256: string | undefined, has = served): Promise<string[]> {
  for (const object of filterObjects('shop'))
    if (object.kind === 'WasmPlugin') kube.put({ ...object, spec: { sha256 } });
  const { state, metrics } = await start({ served: has });
  const told: string[] = [];
  const tell = async (about: KubeObject, { reason, message }: News) => {
    told.push(`${about.metadata.name} ${reason}: ${message}`);
  };
  await createNotices({
    log: pino({ level: 'silent' }),
    state,
    sink: { mayWrite: () => true, tell } as Sink,
    metrics,
  }).look();
  return told;
}

test('a namespace that pins an unknown filter gets an Event with the filter to pin', async () => {
  const zeros = '0'.repeat(64);
  expect(await toldOf(zeros)).toEqual([
    expect.stringMatching(`^shop FilterUnknown: .* ${zeros}, .* Pin ${served[0]} .*pin-filter.sh`),
  ]);
});

test('a namespace that pins the filter of this or an earlier release, or none, gets no Event', async () => {
  for (const sha256 of [...served, undefined]) expect(await toldOf(sha256)).toEqual([]);
});

test('outside of a cluster, where no filter is served, there is no Event', async () => {
  expect(await toldOf('0'.repeat(64), [])).toEqual([]);
});

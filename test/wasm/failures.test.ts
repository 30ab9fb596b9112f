import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  direct,
  gateway,
  hold,
  knownRequest,
  markOf,
  passthrough,
  unknownRequest,
} from './calls.ts';
import { filterTypes, Host, type Stream } from './host.ts';

const codes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 4_294_967_295];

/** Does a little of everything. Returns the streams that it opened. */
function live(host: Host, root: number, round: number): Stream[] {
  const streams = [knownRequest(host, `outbound|80||service-${round}`)];
  const answers = [gateway, direct, hold, passthrough, undefined, { ':status': '500' }];
  for (const [i, headers] of answers.entries()) {
    streams.push(unknownRequest(host, `service-${round}-${i}`));
    streams.push(unknownRequest(host, `service-${round}-${i}`));
    streams.push(host.connect(`10.0.${round}.${i}:1`));
    for (const call of [...host.calls]) host.respond(call, headers);
  }
  host.now += 3_000_000_000n;
  host.tick(root);
  for (const call of [...host.calls]) host.respond(call, { ':status': '204' });
  host.now += 3_000_000_000n;
  host.tick(root);
  return streams;
}

const waits = (streams: Stream[]) => streams.filter((s) => s.paused && s.continued === 0);

// Without these two functions no host could end a pause.
const indispensable = new Set(['env.proxy_set_effective_context', 'env.proxy_continue_stream']);

test.each([...filterTypes.imports.keys()])('%s may fail with any result', (failing) => {
  for (const code of codes) {
    const host = new Host();
    host.fail = (name) => (name === failing ? code : undefined);
    const root = host.configure({ directCidrs: ['10.0.0.0/8'], fallback: 'direct' });
    const streams = live(host, root, 1);
    if (!indispensable.has(failing)) expect(waits(streams)).toEqual([]);
    host.fail = () => undefined;
    const later = live(host, root, 2);
    expect(waits(later)).toEqual([]);
    expect(later.map((s) => s.continued).filter((n) => n > 1)).toEqual([]);
  }
});

test('host functions that fail occasionally leave no stream waiting', () => {
  const names = [...filterTypes.imports.keys()].filter((n) => !indispensable.has(n));
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(9)), fc.constantFrom(...codes), (dice, code) => {
      const host = new Host();
      host.fail = (name) => (names.includes(name) && dice.next().value === 0 ? code : undefined);
      const root = host.configure({ mode: 'tcp' });
      const streams = [1, 2, 3].flatMap((round) => live(host, root, round));
      host.fail = () => undefined;
      host.now += 3_000_000_000n;
      host.tick(root);
      expect(waits(streams)).toEqual([]);
      expect(streams.map((s) => s.continued).filter((n) => n > 1)).toEqual([]);
    }),
    { numRuns: 200 },
  );
});

test('a stream whose server cannot be pinned is not sent to that server', () => {
  const host = new Host();
  host.configure();
  const stream = unknownRequest(host, 'a');
  let calls = 0;
  host.fail = (name) =>
    name === 'env.proxy_call_foreign_function' && ++calls === 2 ? 1 : undefined;
  host.respond(host.call('/v1/resolve'), gateway);
  expect([calls, stream.continued, markOf(stream)]).toEqual([2, 1, undefined]);
});

test('a question that cannot be sent leads to the fallback at once and is repeated a second later', () => {
  const host = new Host();
  host.configure();
  host.refuseCalls = true;
  expect(unknownRequest(host, 'a').paused).toBe(false);
  host.refuseCalls = false;
  expect(unknownRequest(host, 'a').paused).toBe(false);
  host.now += 1_000_000_000n;
  expect(unknownRequest(host, 'a').paused).toBe(true);
});

test('at start-up the filter uses only logging, time and random numbers', () => {
  const host = new Host();
  expect([...host.counts]).toEqual([]);
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readCall, readHeldCall } from '../../../../companion/node/call-headers.ts';

const destination = '10.96.0.7:9080';

describe('a question', () => {
  it('names an HTTP call by authority and destination', () => {
    const headers = {
      'x-lazyscope-call': 'http',
      'x-lazyscope-authority': 'reviews:9080',
      'x-lazyscope-destination': destination,
    };
    expect(readCall(headers)).toEqual({ tcp: false, authority: 'reviews:9080', destination });
  });

  it('names a TCP call by destination only, and ignores the authority', () => {
    const headers = {
      'x-lazyscope-call': 'tcp',
      'x-lazyscope-authority': 'x',
      'x-lazyscope-destination': '[fd00::7]:5432',
    };
    expect(readCall(headers)).toEqual({ tcp: true, authority: '', destination: '[fd00::7]:5432' });
  });

  it.each([
    ['no kind', {}, 'neither http nor tcp'],
    ['another kind', { 'x-lazyscope-call': 'udp' }, 'neither http nor tcp'],
    ['no authority', { 'x-lazyscope-call': 'http' }, 'no authority'],
    ['no destination', { 'x-lazyscope-call': 'tcp' }, 'no x-lazyscope-destination'],
    ['a host name', { 'x-lazyscope-call': 'tcp', 'x-lazyscope-destination': 'a:1' }, 'not ip:port'],
    [
      'a long authority',
      { 'x-lazyscope-call': 'http', 'x-lazyscope-authority': 'a'.repeat(513) },
      'too long',
    ],
  ])('with %s is refused with the reason', (_, headers, reason) => {
    expect(readCall(headers)).toContain(reason);
  });

  it('with any headers is read or refused', () => {
    const text = fc.oneof(fc.string(), fc.constantFrom('http', 'tcp', destination));
    const headers = fc.dictionary(
      fc.constantFrom(
        'x-lazyscope-call',
        'x-lazyscope-authority',
        'x-lazyscope-destination',
        'host',
      ),
      text,
    );
    fc.assert(
      fc.property(headers, (given) => {
        for (const call of [readCall(given), readHeldCall(given)]) {
          if (typeof call === 'string') continue;
          expect(call.authority.length).toBeLessThanOrEqual(512);
          expect(call.authority).toMatch(/^[\x21-\x7e]*$/);
          expect(call.destination).toMatch(/:\d{1,5}$/);
        }
      }),
    );
  });
});

it('a held request names the call by its Host and its original destination', () => {
  const headers = { host: 'reviews:9080', 'x-lazyscope-destination': destination };
  expect(readHeldCall(headers)).toEqual({ tcp: false, authority: 'reviews:9080', destination });
});

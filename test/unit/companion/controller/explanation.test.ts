import { expect, test } from 'vitest';
import { explanation } from '../../../../companion/controller/console/explanation.ts';
import { start } from './shop.ts';

// What would happen to a call, asked of a controller whose scope of `web` is made.

const everything = { all: true, namespaces: new Set<string>() };
const now = () => Date.parse('2026-01-01T00:00:00Z');

async function explained() {
  const controller = await start();
  controller.report('web');
  await controller.lookThrough();
  const { state, history } = controller;
  const known = { scopes: state.scopes, history, now, explained: controller.explained };
  return (to: string, more: { access?: typeof everything; name?: string; tcp?: boolean } = {}) => {
    const { access = everything, name = 'web', tcp = false } = more;
    return explanation(known, access, { namespace: 'shop', name, to, tcp });
  };
}

test('a call to a Service is explained from its name to what is learned', async () => {
  const ask = await explained();
  const { steps } = ask('http://cart:80/basket') ?? { steps: [] };
  expect(steps.map(({ step }) => step)).toEqual([
    ...['caller', 'name', 'scope', 'rules', 'mtls', 'first call', 'learning'],
  ]);
  const text = (wanted: string) => steps.find(({ step }) => step === wanted)?.text;
  expect(text('name')).toMatch(/cart\.shop\.svc\.cluster\.local of Service shop\/cart/);
  expect(text('scope')).toMatch(/is not in the scope/);
});

test('a host outside the mesh is explained too', async () => {
  const ask = await explained();
  const { steps } = ask('api.example.com:443', { tcp: true }) ?? { steps: [] };
  expect(steps.at(-1)?.text).toMatch(/unknown to the mesh/);
});

test.each(['', ' ', 'a b', '<b>', ':::'])('what is no host is refused: "%s"', async (to) => {
  const ask = await explained();
  const answer = ask(to);
  expect(answer?.steps).toEqual([]);
  expect(answer).toMatchObject({ refused: expect.stringMatching(/host:port/) });
});

test('a workload that the user may not see looks as if it did not exist', async () => {
  const ask = await explained();
  const access = { all: false, namespaces: new Set(['bank']) };
  expect(ask('cart', { access })).toBeUndefined();
  expect(ask('cart', { name: 'none' })).toBeUndefined();
});

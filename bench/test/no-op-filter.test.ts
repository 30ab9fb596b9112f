import { expect, test } from 'vitest';
import { compileNoOpFilter } from '../no-op-filter.ts';

// With no imports given, an instance is only made of a module that has none.
const instanceOf = async (which: Parameters<typeof compileNoOpFilter>[0]) =>
  new WebAssembly.Instance(
    new WebAssembly.Module(new Uint8Array(await compileNoOpFilter(which))),
    {},
  );
const noOp = await instanceOf('no-op');
const callbacksOf = ({ exports }: WebAssembly.Instance) =>
  Object.keys(exports).filter((name) => name.startsWith('proxy_'));

test('the filter to compare with hears of request headers only and asks nothing of its host', () => {
  expect(callbacksOf(noOp)).toEqual(['proxy_abi_version_0_2_1', 'proxy_on_request_headers']);
});

test('the filter to compare with lets every request pass', () => {
  const onHeaders = noOp.exports.proxy_on_request_headers as (...args: number[]) => number;
  expect([onHeaders(1, 0, 0), onHeaders(2, 40, 1)]).toEqual([0, 0]);
});

test('the filter without a callback hears of nothing', async () => {
  expect(callbacksOf(await instanceOf('no callback'))).toEqual(['proxy_abi_version_0_2_1']);
});

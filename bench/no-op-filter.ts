import asc from 'assemblyscript/asc';

/** A Wasm HTTP filter without a callback: it costs what Envoy does for it on each request. */
const withoutCallback = `
const HEAP: usize = memory.data(4096, 8);

export function proxy_abi_version_0_2_1(): void {}

// The host calls it to pass data in, which no callback of this module needs.
export function malloc(size: u32): usize {
  return size <= 4096 ? HEAP : 0;
}

`;

/**
 * The smallest possible Wasm HTTP filter: it lets each request pass and handles no other callback.
 * Any cost of a Wasm filter above this baseline is caused by its own code.
 */
const noOp = `${withoutCallback}
export function proxy_on_request_headers(_stream: u32, _headers: u32, _end: u32): u32 {
  return 0;
}
`;

const sources = { 'no callback': withoutCallback, 'no-op': noOp };

/** The module, compiled with the flags of the product's filter (asconfig.json). */
export async function compileNoOpFilter(which: keyof typeof sources): Promise<Uint8Array> {
  let module: Uint8Array | undefined;
  const flags = ['--runtime', 'stub', '-O3', '--noAssert', '--exportStart', '_initialize'];
  const { error, stderr } = await asc.main(
    ['no-op.ts', '--outFile', 'no-op.wasm', '--use', 'abort=', ...flags],
    {
      readFile: (name) => (name === 'no-op.ts' ? sources[which] : null),
      writeFile: (name, contents) => {
        if (name === 'no-op.wasm' && typeof contents !== 'string') module = contents;
      },
      listFiles: () => [],
    },
  );
  if (error || !module) throw new Error(`the no-op filter does not compile: ${stderr}`);
  return module;
}

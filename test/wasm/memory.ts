import { result } from './abi.ts';

const encoder = new TextEncoder();

/**
 * Thrown inside a host function, this error becomes the function's result, as Envoy's macros do it.
 */
export class HostResult extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`host result ${code}`);
    this.code = code;
  }
}

export type GuestMemory = {
  read(at: number, size: number): Uint8Array;
  text(at: number, size: number): string;
  number(at: number, value: number): void;
  time(at: number, value: bigint): void;
  bytes(at: number, value: Uint8Array): void;
  /**
   * Copies a value into memory from the module's malloc and stores the address. An empty value
   * needs no memory.
   */
  give(value: string | Uint8Array, outAt: number, outSize: number): void;
  pages(): number;
};

export function guestMemory(
  memory: WebAssembly.Memory,
  malloc: (size: number) => number,
): GuestMemory {
  const view = () => new DataView(memory.buffer);
  const check = (at: number, size: number) => {
    if (at < 0 || at + size > memory.buffer.byteLength) {
      throw new HostResult(result.invalidMemoryAccess);
    }
  };
  const read = (at: number, size: number) => {
    check(at >>> 0, size >>> 0);
    return new Uint8Array(memory.buffer, at >>> 0, size >>> 0).slice();
  };
  const number = (at: number, value: number) => {
    check(at >>> 0, 4);
    view().setUint32(at >>> 0, value, true);
  };
  const bytes = (at: number, value: Uint8Array) => {
    check(at >>> 0, value.length);
    new Uint8Array(memory.buffer).set(value, at >>> 0);
  };
  return {
    read,
    number,
    bytes,
    text: (at, size) => new TextDecoder().decode(read(at, size)),
    time: (at, value) => {
      check(at >>> 0, 8);
      view().setBigUint64(at >>> 0, value, true);
    },
    give: (value, outAt, outSize) => {
      const data = typeof value === 'string' ? encoder.encode(value) : value;
      let at = 0;
      if (data.length > 0) {
        at = malloc(data.length) >>> 0;
        if (at === 0) throw new HostResult(result.invalidMemoryAccess);
        bytes(at, data);
      }
      number(outAt, at);
      number(outSize, data.length);
    },
    pages: () => memory.buffer.byteLength / 65536,
  };
}

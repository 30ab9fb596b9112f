// The part of the WebAssembly JavaScript API that the host uses. The full types come only with
// those of a browser.
declare namespace WebAssembly {
  type Imports = { [module: string]: { [name: string]: unknown } };
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports: Imports);
    readonly exports: { [name: string]: unknown };
  }
  class Memory {
    readonly buffer: ArrayBuffer;
  }
}

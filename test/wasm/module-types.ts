/** `iiI>i`: parameters, then results; i = i32, I = i64. */
export type Signature = string;

export type ModuleTypes = {
  imports: Map<string, Signature>;
  exports: Map<string, Signature>;
  hasStart: boolean;
  memory: { minimum: number; maximum: number | undefined };
};

const valueTypes: { [byte: number]: string } = { 127: 'i', 126: 'I', 125: 'f', 124: 'F' };
const section = { type: 1, import: 2, function: 3, memory: 5, export: 7, start: 8 };

/**
 * Reads the types of a WebAssembly module's imports and exports, which JavaScript's own reflection
 * leaves out (WebAssembly core specification 5.5, binary format of modules).
 */
export function readModuleTypes(bytes: Uint8Array): ModuleTypes {
  const reader = new Reader(bytes, 8);
  const types: Signature[] = [];
  const functions: Signature[] = [];
  const result: ModuleTypes = {
    imports: new Map(),
    exports: new Map(),
    hasStart: false,
    memory: { minimum: 0, maximum: undefined },
  };
  const typeAt = (index: number) => types[index] ?? '?';
  while (!reader.atEnd()) {
    const id = reader.byte();
    const end = reader.number() + reader.at;
    if (id === section.type) reader.each(() => types.push(reader.functionType()));
    else if (id === section.import) {
      reader.each(() => {
        const name = `${reader.name()}.${reader.name()}`;
        if (reader.byte() !== 0) throw new Error(`${name} is imported but is no function`);
        functions.push(typeAt(reader.number()));
        result.imports.set(name, functions.at(-1) ?? '?');
      });
    } else if (id === section.function) {
      reader.each(() => functions.push(typeAt(reader.number())));
    } else if (id === section.memory) {
      reader.each(() => {
        const hasMaximum = reader.byte() === 1;
        result.memory.minimum = reader.number();
        result.memory.maximum = hasMaximum ? reader.number() : undefined;
      });
    } else if (id === section.export) {
      reader.each(() => {
        const name = reader.name();
        const isFunction = reader.byte() === 0;
        const index = reader.number();
        if (isFunction) result.exports.set(name, functions[index] ?? '?');
      });
    } else if (id === section.start) result.hasStart = true;
    reader.at = end;
  }
  return result;
}

class Reader {
  readonly bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  atEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  byte(): number {
    return this.bytes[this.at++] ?? 0;
  }

  /** Unsigned LEB128. */
  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  }

  name(): string {
    const size = this.number();
    this.at += size;
    return new TextDecoder().decode(this.bytes.subarray(this.at - size, this.at));
  }

  each(read: () => void): void {
    for (let left = this.number(); left > 0; left--) read();
  }

  functionType(): Signature {
    this.byte();
    const values = () => {
      let text = '';
      this.each(() => {
        text += valueTypes[this.byte()] ?? '?';
      });
      return text;
    };
    return `${values()}>${values()}`;
  }
}

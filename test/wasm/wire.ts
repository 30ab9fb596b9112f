/** The two encodings inside the ABI: header pairs, and protobuf arguments of foreign functions. */

const text = new TextDecoder();
/** Limits of PairsUtil in proxy-wasm-cpp-host. */
const maxPairs = 1024;

export function decodePairs(bytes: Uint8Array): { [name: string]: string } {
  if (bytes.length === 0) return {};
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = view.getUint32(0, true);
  if (count > maxPairs) throw new Error(`${count} header pairs`);
  let at = 4 + count * 8;
  const take = (size: number) => {
    if (at + size >= bytes.length || bytes[at + size] !== 0)
      throw new Error(`pair not ended at ${at}`);
    at += size + 1;
    return text.decode(bytes.subarray(at - size - 1, at - 1));
  };
  const pairs: { [name: string]: string } = {};
  for (let i = 0; i < count; i++) {
    const name = take(view.getUint32(4 + i * 8, true));
    pairs[name] = take(view.getUint32(8 + i * 8, true));
  }
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes after the pairs`);
  return pairs;
}

/** Fields of a flat protobuf message, by number. These messages have only strings and varints. */
export function decodeMessage(bytes: Uint8Array): Map<number, string | number> {
  const fields = new Map<number, string | number>();
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('message is cut');
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) === 0) fields.set(tag >>> 3, varint());
    else if ((tag & 7) === 2) {
      const size = varint();
      if (at + size > bytes.length) throw new Error('message is cut');
      fields.set(tag >>> 3, text.decode(bytes.subarray(at, at + size)));
      at += size;
    } else throw new Error(`wire type ${tag & 7}`);
  }
  return fields;
}

/** Cuts the body of a gRPC stream into its messages, with bounded memory. */
export type Frames = {
  /** Never throws. False: the stream has a fault, and nothing after it can be read. */
  push(chunk: Buffer): boolean;
  /** Gives back the room of a message that will not be completed. */
  end(): void;
};

export type FramesOptions = {
  /** Longest message in bytes; a longer one is skipped as it arrives. */
  bytesMax: number;
  /** Takes room for a message that arrives in parts; without room it is skipped. */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
  onMessage(message: Buffer): void;
  onSkipped(reason: 'message' | 'room'): void;
};

/** A flag (1: compressed), and the length of the message in four bytes. */
const headBytes = 5;

export function createFrames(options: FramesOptions): Frames {
  const { bytesMax, reserve, release, onMessage, onSkipped } = options;
  const head = Buffer.alloc(headBytes);
  let headHas = 0;
  let length = 0;
  let has = 0;
  /** The message, if it arrives in parts and is kept. */
  let kept: Buffer | undefined;

  function end(): void {
    if (kept) release(kept.length);
    kept = undefined;
    headHas = 0;
  }

  /** A message begins, of which `here` bytes are in this chunk. */
  function begin(here: number): boolean {
    length = head.readUInt32BE(1);
    has = 0;
    if (length > bytesMax) onSkipped('message');
    else if (here >= length) return true;
    else if (reserve(length)) kept = Buffer.allocUnsafe(length);
    else onSkipped('room');
    return false;
  }

  function append(chunk: Buffer, at: number): number {
    const taken = Math.min(chunk.length - at, length - has);
    if (kept) chunk.copy(kept, has, at, at + taken);
    has += taken;
    if (has === length) {
      const message = kept;
      end();
      if (message) onMessage(message);
    }
    return at + taken;
  }

  return {
    end,
    push(chunk) {
      let at = 0;
      while (at < chunk.length) {
        if (headHas === headBytes) {
          at = append(chunk, at);
          continue;
        }
        const taken = chunk.copy(head, headHas, at, at + headBytes - headHas);
        headHas += taken;
        at += taken;
        if (headHas < headBytes) return true;
        if (head[0] !== 0) return false;
        if (!begin(chunk.length - at)) continue;
        onMessage(chunk.subarray(at, at + length));
        at += length;
        headHas = 0;
      }
      return true;
    },
  };
}

import fc from 'fast-check';

/**
 * Seconds for each target in the nightly run, from LAZYSCOPE_FUZZ_SECONDS. If 0, a number of runs
 * bounds each target.
 */
const seconds = Number(process.env.LAZYSCOPE_FUZZ_SECONDS ?? 0);

/** A number of runs and no time limit, so that the gate tries the same on every machine. */
const runs = 2_000;

/**
 * Much longer than the runs take. With a time limit: that time, and the same time again to shrink a
 * failing input.
 */
export const fuzzTimeoutMs = 2_000 * seconds + 300_000;

const untilTimeIsOver = {
  numRuns: Number.MAX_SAFE_INTEGER,
  interruptAfterTimeLimit: seconds * 1_000,
  markInterruptAsFailure: false,
};

/**
 * Tries the earlier findings and then new input. A failure names the seed and path that repeat it.
 */
export async function fuzz<Input>(
  property: fc.IProperty<Input> | fc.IAsyncProperty<Input>,
  found: Input[] = [],
): Promise<void> {
  await fc.assert(property as fc.IAsyncProperty<Input>, {
    examples: found,
    ...(seconds > 0 ? untilTimeIsOver : { numRuns: runs }),
  });
}

/** Bytes of a valid input in which a few bytes are overwritten, cut out or repeated. */
export function mutated(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({
    at: fc.nat(),
    verb: fc.constantFrom('set', 'cut', 'repeat'),
    value: fc.nat(255),
    length: fc.nat(64),
  });
  return fc.tuple(valid, fc.array(edit, { maxLength: 8 })).map(([bytes, edits]) => {
    let result: Uint8Array = bytes;
    for (const { at, verb, value, length } of edits) {
      const start = result.length === 0 ? 0 : at % result.length;
      const [before, part] = [result.subarray(0, start), result.subarray(start, start + length)];
      const after = result.subarray(start + (verb === 'repeat' ? 0 : verb === 'cut' ? length : 1));
      const middle = { set: Buffer.of(value), cut: Buffer.of(), repeat: part }[verb] ?? part;
      result = Buffer.concat([before, middle, after]);
    }
    return result;
  });
}

export const bytes = fc.uint8Array({ maxLength: 2_000 });

/** Text of every kind: real names, and text that nobody expects. */
export const text = fc.oneof(
  fc.constantFrom('', '*', '.', '..', '~', '/', '*/*', '__proto__', 'constructor', 'toString'),
  fc.constantFrom('web', 'shop', 'cart.shop.svc.cluster.local', '*.example.com', '10.96.0.1:80'),
  fc.constantFrom('outbound|80||cart.shop.svc.cluster.local', '[::1]:80', 'a'.repeat(600)),
  fc.string(),
  fc.string({ unit: 'binary' }),
);

const fields = [
  ...['hosts', 'host', 'http', 'tcp', 'tls', 'route', 'destination', 'mirror', 'mirrors'],
  ...['gateways', 'exportTo', 'ports', 'port', 'number', 'name', 'protocol', 'addresses'],
  ...['location', 'resolution', 'endpoints', 'conditions', 'ready', 'targetRef', 'kind'],
  ...['trafficPolicy', 'portLevelSettings', 'mode', 'mtls', 'portLevelMtls', 'selector'],
  ...['matchLabels', 'clusterIP', 'clusterIPs', 'type', 'containers', 'podIPs', 'ip', 'phase'],
  ...['workloadSelector', 'labels', 'egress', 'pins', 'excludes', 'firstCall', 'owners'],
  ...['lastSeen', 'firstSeen', 'proxies', '__proto__', 'constructor'],
];
/** Values that users write into the free parts of an object. */
export const { anything } = fc.letrec((tie) => ({
  anything: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    text,
    fc.constantFrom(null, true, 0, -1, 80, 1e9),
    fc.array(tie('anything'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...fields), tie('anything'), { maxKeys: 5 }),
  ),
}));

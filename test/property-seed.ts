import fc from 'fast-check';

// CI uses the same input each time, so that a failure is due to the change. Runs by hand and the
// nightly run use random input.
if (process.env.CI === 'true' && process.env.LAZYSCOPE_FUZZ_SECONDS === undefined) {
  fc.configureGlobal({ seed: 1 });
}

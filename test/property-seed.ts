import fc from 'fast-check';

// In CI the same input each time, so that a change fails for what it did; chance is for the nights
// and by hand.
if (process.env.CI === 'true' && process.env.LAZYSCOPE_FUZZ_SECONDS === undefined) {
  fc.configureGlobal({ seed: 1 });
}

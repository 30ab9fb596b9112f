import { defineConfig } from 'vitest/config';

const seconds = 1000;

const setupFiles = ['test/property-seed.ts'];

const meshOptions = {
  // Bounds for what hangs: a slow machine takes its time.
  testTimeout: 900 * seconds,
  hookTimeout: 900 * seconds,
  fileParallelism: false,
};

/**
 * One project a test group, so that the fast ones answer in seconds:
 * `unit` and `fuzz` need nothing, `api` what compiles an API server, `wasm` the built filter, `envoy` a real
 * Envoy, `bypass` root and the loader of `make -C bpf`, `mesh`,
 * `mesh-lifecycle`, `matrix`, `product`, `safety` and `faults` root and the cluster in a box.
 */
export default defineConfig({
  test: {
    projects: [
      // Properties take a moment each, and many moments on a machine that is busy.
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'bench/test/*.test.ts'],
          testTimeout: 30 * seconds,
          setupFiles,
        },
      },
      { test: { name: 'fuzz', include: ['test/fuzz/*.test.ts'], setupFiles } },
      { test: { name: 'wasm', include: ['test/wasm/**/*.test.ts'], setupFiles } },
      {
        test: {
          name: 'envoy',
          include: ['test/envoy/**/*.test.ts'],
          testTimeout: 60 * seconds,
          hookTimeout: 120 * seconds,
        },
      },
      {
        test: {
          name: 'api',
          include: ['test/api/*.test.ts'],
          testTimeout: 120 * seconds,
          hookTimeout: 120 * seconds,
        },
      },
      {
        test: {
          name: 'bypass',
          include: ['test/bypass/**/*.test.ts'],
          setupFiles,
          testTimeout: 120 * seconds,
          hookTimeout: 60 * seconds,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'mesh',
          include: ['test/mesh/*.test.ts'],
          ...meshOptions,
          globalSetup: ['test/mesh/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'mesh-lifecycle',
          include: ['test/mesh/lifecycle/*.test.ts'],
          ...meshOptions,
        },
      },
      {
        test: {
          name: 'safety',
          include: ['test/mesh/safety/*.test.ts'],
          ...meshOptions,
          globalSetup: ['test/mesh/safety/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'matrix',
          include: ['test/mesh/matrix/*.test.ts'],
          ...meshOptions,
          globalSetup: ['test/mesh/matrix/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'product',
          include: ['test/mesh/product/*.test.ts'],
          ...meshOptions,
          globalSetup: ['test/mesh/product/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'faults',
          include: ['test/mesh/faults/*.test.ts'],
          ...meshOptions,
          globalSetup: ['test/mesh/faults/global-setup.ts'],
        },
      },
    ],
  },
});

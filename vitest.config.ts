import { defineConfig } from 'vitest/config';
import sequencer from './test/gate/sequencer.ts';

const seconds = 1000;

const setupFiles = ['test/property-seed.ts'];

/** Bounds for what hangs, and no measure of a machine: a slow one takes its time. */
const bounds = {
  testTimeout: 300 * seconds,
  hookTimeout: 300 * seconds,
  expect: { poll: { timeout: 60 * seconds } },
};

const meshOptions = {
  testTimeout: 900 * seconds,
  hookTimeout: 900 * seconds,
  fileParallelism: false,
};

/**
 * One project a test group, so that the fast ones answer in seconds:
 * `unit` and `fuzz` need nothing, `charts` kubectl and Helm, `api` what compiles an API server,
 * `wasm` the built filter, `envoy` a real Envoy, `console` the built page and Chromium,
 * `bypass` root and the loader of `make -C bpf`, `mesh`, `mesh-lifecycle`, `matrix`, `product`,
 * `safety`, `faults` and `install` root and the cluster in a box.
 */
export default defineConfig({
  test: {
    sequence: { sequencer },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'bench/test/*.test.ts'],
          ...bounds,
          setupFiles,
        },
      },
      { test: { name: 'fuzz', include: ['test/fuzz/*.test.ts'], ...bounds, setupFiles } },
      { test: { name: 'charts', include: ['test/charts/*.test.ts'], ...bounds } },
      { test: { name: 'wasm', include: ['test/wasm/**/*.test.ts'], ...bounds, setupFiles } },
      {
        test: {
          name: 'envoy',
          include: ['test/envoy/**/*.test.ts'],
          ...bounds,
        },
      },
      { test: { name: 'console', include: ['test/console/*.test.ts'], ...bounds } },
      {
        test: {
          name: 'api',
          include: ['test/api/*.test.ts'],
          ...bounds,
        },
      },
      {
        test: {
          name: 'bypass',
          include: ['test/bypass/**/*.test.ts'],
          setupFiles,
          ...bounds,
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
      {
        test: {
          name: 'install',
          include: ['test/mesh/install/*.test.ts'],
          ...meshOptions,
          globalSetup: ['test/mesh/global-setup.ts'],
        },
      },
    ],
  },
});

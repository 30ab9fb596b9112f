import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { controllerSettings, nodeSettings } from '../../../../companion/frame/config.ts';
import { ConfigError } from '../../../../companion/frame/errors.ts';
import {
  describeSettings,
  flagOf,
  names,
  readSettings,
  redacted,
  type Setting,
  variableOf,
  wholeNumber,
} from '../../../../companion/frame/settings.ts';

const minimal = { LAZYSCOPE_NODE_NAME: 'worker-1' };

function problemsOf(run: () => unknown): readonly { variable: string; problem: string }[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('expected a ConfigError');
}

describe('reading settings', () => {
  it('uses defaults, then variables, then flags', () => {
    const env = { ...minimal, LAZYSCOPE_PORT: '1000', LAZYSCOPE_SCRAPE_SECONDS: '7' };
    const config = readSettings(nodeSettings, env, ['--port=2000']);
    expect(config).toMatchObject({ port: 2000, scrapeSeconds: 7, adminPort: 9472 });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('reports everything that is wrong at once: variable, value, remedy', () => {
    const env = {
      LAZYSCOPE_PORT: 'ninety',
      LAZYSCOPE_ADMIN_PORT: '70000',
      LAZYSCOPE_LOG_LEVEL: 'loud',
    };
    try {
      readSettings(nodeSettings, env, []);
      expect.unreachable();
    } catch (error) {
      const lines = (error as Error).message.split('\n');
      expect(lines).toHaveLength(4);
      expect(lines[0]).toMatch(/^LAZYSCOPE_LOG_LEVEL="loud": not one of the choices; set .*debug/);
      expect(lines[1]).toMatch(/^LAZYSCOPE_ADMIN_PORT="70000": too large; set .*0 to 65535/);
      expect(lines[2]).toMatch(/^LAZYSCOPE_NODE_NAME="": required, but not set; set /);
      expect(lines[3]).toMatch(/^LAZYSCOPE_PORT="ninety": not a whole number; set /);
    }
  });

  it('refuses flags and variables that do not exist', () => {
    const env = { ...minimal, LAZYSCOPE_PROT: '1' };
    const problems = problemsOf(() => readSettings(nodeSettings, env, ['--prot=1', 'extra']));
    expect(problems.map(({ variable }) => variable).sort()).toEqual([
      '--prot',
      'LAZYSCOPE_PROT',
      'argument',
    ]);
  });

  it('refuses a flag without a value', () => {
    const problems = problemsOf(() => readSettings(nodeSettings, minimal, ['--port']));
    expect(problems).toMatchObject([{ variable: '--port', problem: 'has no value' }]);
  });

  it('ignores the variables that Kubernetes sets for Services', () => {
    const env = {
      ...minimal,
      LAZYSCOPE_NODE_SERVICE_HOST: '10.0.0.1',
      LAZYSCOPE_NODE_SERVICE_PORT_HTTP: '9470',
      LAZYSCOPE_NODE_PORT: 'tcp://10.0.0.1:9470',
      LAZYSCOPE_NODE_PORT_9470_TCP_ADDR: '10.0.0.1',
      LAZYSCOPE_EGRESS_PORT_15443_TCP: 'tcp://10.0.0.2:15443',
    };
    expect(readSettings(nodeSettings, env, []).nodeName).toBe('worker-1');
  });

  it('accepts exactly the whole numbers within the bounds', () => {
    const table = {
      size: wholeNumber({ about: 'x', fallback: '5', min: 3, max: 900, unit: 'things' }),
    };
    fc.assert(
      fc.property(fc.oneof(fc.integer(), fc.integer({ min: 0, max: 1000 })), (value) => {
        const read = () => readSettings(table, { LAZYSCOPE_SIZE: String(value) }, []).size;
        if (value >= 3 && value <= 900) expect(read()).toBe(value);
        else expect(read).toThrow(ConfigError);
      }),
    );
  });

  it('accepts a list of names up to its bound, and no name that Kubernetes would refuse', () => {
    const table = { names: names({ about: 'x', fallback: '', most: 2 }) };
    const read = (text?: string) =>
      readSettings(table, text ? { LAZYSCOPE_NAMES: text } : {}, []).names;
    expect([read(), read('1-30'), read('1-30,canary')]).toEqual([[], ['1-30'], ['1-30', 'canary']]);
    for (const text of ['a,b,c', 'a,', ',', 'A', 'a b', '-a', 'a.b', 'a'.repeat(64)])
      expect(() => read(text)).toThrow(ConfigError);
  });

  it('never fails with anything but a list of problems', () => {
    const texts = fc.array(fc.oneof(fc.string(), fc.constantFrom('--port', '--', '-x', '--port=')));
    fc.assert(
      fc.property(
        texts,
        fc.dictionary(fc.constantFrom('LAZYSCOPE_PORT', 'LAZYSCOPE_X'), fc.string()),
        (args, env) => {
          try {
            readSettings(nodeSettings, env, args);
          } catch (error) {
            expect(error).toBeInstanceOf(ConfigError);
          }
        },
      ),
    );
  });
});

describe('secrets', () => {
  const password: Setting<string> = {
    schema: z.string().min(8, 'too short'),
    unit: 'text',
    bounds: 'at least 8 characters',
    about: 'a password',
    secret: true,
  };

  it('are shown neither in the effective configuration nor in a problem', () => {
    const config = readSettings({ password }, { LAZYSCOPE_PASSWORD: 'long enough' }, []);
    expect(redacted({ password }, config)).toEqual({ password: '[redacted]' });
    expect(() => readSettings({ password }, { LAZYSCOPE_PASSWORD: 'short' }, [])).toThrow(
      /^LAZYSCOPE_PASSWORD="\[redacted\]": too short/,
    );
  });
});

describe('help', () => {
  it.each([
    ['node', nodeSettings],
    ['controller', controllerSettings],
  ])('of %s lists every setting with flag, variable, unit, bounds and default', (_, settings) => {
    const help = describeSettings(settings);
    for (const [key, { unit, bounds, fallback }] of Object.entries(settings)) {
      expect(help).toContain(`--${flagOf(key)}, ${variableOf(key)}\n`);
      const standard = fallback === undefined ? 'required' : `default ${fallback || 'none'}`;
      expect(help).toContain(`${unit}; ${bounds}; ${standard}`);
    }
  });

  it('describes only defaults that the settings themselves accept', () => {
    const env = { LAZYSCOPE_NODE_NAME: 'n', LAZYSCOPE_POD_NAME: 'p' };
    const { LAZYSCOPE_POD_NAME, ...forNode } = env;
    const { LAZYSCOPE_NODE_NAME, ...forController } = env;
    expect(readSettings(nodeSettings, forNode, []).answerMilliseconds).toBe(150);
    expect(readSettings(controllerSettings, forController, []).firstCall).toBe('gateway');
  });
});

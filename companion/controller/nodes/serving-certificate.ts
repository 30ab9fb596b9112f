import { createPrivateKey, X509Certificate } from 'node:crypto';
import { controllerServerName } from '../../contract/rpc.ts';
import { isKubeError, type Kube, type KubeObject } from '../../kube/object.ts';
import type { ServingKeys } from './server.ts';
import { selfSigned } from './x509.ts';

/**
 * The certificate that all replicas serve with: made by the first of them, kept in a Secret, and
 * published as its own CA in a ConfigMap that node companions read. The one before it stays
 * published beside it, because replicas that did not restart yet serve with that; so do those that
 * were published before, since a Secret may be lost.
 */

const secretName = 'lazyscope-serving';
const configMapName = 'lazyscope-ca';
const caKey = 'ca.crt';
/** The one that is served with, those of replicas that did not restart yet, and one to spare. */
const trustedMax = 4;
/** Beside the two keys that a Secret of type kubernetes.io/tls must have. */
const previousKey = 'previous.crt';
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
  const { previous, ...keys } = await readOrMake(kube, namespace, now);
  // Also where the Secret is lost: the other replica serves on with the certificate that was in it.
  const known = await kube.get({ ...core, plural: 'configmaps' }, configMapName, namespace);
  const trusted = [keys.certificate, previous, ...certificatesIn(known?.data?.[caKey])];
  await kube.apply(
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: configMapName, namespace },
      data: { [caKey]: [...new Set(trusted)].filter(Boolean).slice(0, trustedMax).join('') },
    },
    { fieldManager: 'lazyscope', force: true },
  );
  return keys;
}

/** Those that are published, newest first; garbage is left out. */
function certificatesIn(pem: unknown): string[] {
  const found = String(pem ?? '').match(
    /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g,
  );
  return (found ?? []).flatMap((each) => readCertificate(Buffer.from(each)) ?? []);
}

/** `previous`: a certificate that some replica may still serve with; empty when there is none. */
type StoredKeys = ServingKeys & { previous: string };

async function readOrMake(kube: Kube, namespace: string, now: number): Promise<StoredKeys> {
  const secrets = { ...core, plural: 'secrets' };
  const found = await kube.get(secrets, secretName, namespace);
  const keys = found && keysOf(found);
  if (keys && isUsable(keys, now)) return keys;
  const previous = keys?.certificate ?? '';
  const fresh = selfSigned(controllerServerName, new Date(now - backdateMs), validDays);
  const made = { ...fresh, previous };
  const secret: KubeObject = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: found?.metadata ?? { name: secretName, namespace },
    data: {
      'tls.crt': base64(made.certificate),
      'tls.key': base64(made.key),
      ...(previous && { [previousKey]: base64(previous) }),
    },
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

function keysOf(secret: KubeObject): StoredKeys | undefined {
  const part = (name: string) => Buffer.from(String(secret.data?.[name] ?? ''), 'base64');
  const certificate = readCertificate(part('tls.crt'));
  if (!certificate) return undefined;
  const previous = readCertificate(part(previousKey)) ?? '';
  return { certificate, key: part('tls.key').toString(), previous };
}

function isUsable({ certificate, key }: ServingKeys, now: number): boolean {
  try {
    const parsed = new X509Certificate(certificate);
    const end = Date.parse(parsed.validTo) - renewDays * 86_400_000;
    const isOurs = parsed.checkHost(controllerServerName) !== undefined;
    return end > now && isOurs && parsed.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

/**
 * The certificate and nothing around it: garbage among the CAs would make nodes refuse all of them.
 */
function readCertificate(pem: Buffer): string | undefined {
  try {
    return new X509Certificate(pem).toString();
  } catch {
    return undefined;
  }
}

function base64(value: string): string {
  return Buffer.from(value).toString('base64');
}

import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';

/**
 * X.509 certificates in the few lines of DER (ITU-T X.690, RFC 5280) that they take: node:crypto
 * makes keys and signatures, but no certificates.
 */

export type KeyPair = { certificate: string; key: string };

type Subject = {
  /** Its common name; for an issued certificate with a SPIFFE identity there need not be one. */
  name: string;
  /** subjectAltName: a DNS name, a URI (SPIFFE ids are), or nothing. */
  dns?: string;
  uri?: string;
};

type Validity = { notBefore: Date; days: number };

/** A self-signed certificate for one DNS name: a server that is its own CA. */
export function selfSigned(dns: string, notBefore: Date, days: number): KeyPair {
  return makeCertificate({ name: dns, dns }, { notBefore, days }, undefined, [serverAuth]);
}

/** A CA for `issue`. */
export function makeCa(name: string, validity: Validity): KeyPair {
  return makeCertificate({ name }, validity, undefined, []);
}

/** A certificate that a CA signs, for both ends of mutual TLS. */
export function issue(ca: KeyPair, subject: Subject, validity: Validity): KeyPair {
  return makeCertificate(subject, validity, ca, [serverAuth, clientAuth]);
}

const serverAuth = '2b06010505070301';
const clientAuth = '2b06010505070302';

function makeCertificate(
  { name, dns, uri }: Subject,
  { notBefore, days }: Validity,
  issuer: KeyPair | undefined,
  usages: string[],
): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const notAfter = new Date(notBefore.getTime() + days * 86_400_000);
  const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'));
  const subject = nameOf(name);
  const signedBy = issuer && new X509Certificate(issuer.certificate);
  // Names are made here only, so that the common name is the whole of it.
  const issuerName = signedBy ? nameOf(signedBy.subject.replace(/^CN=/, '')) : subject;
  const issuerSpki = signedBy?.publicKey.export({ type: 'spki', format: 'der' }) ?? spki;
  // basicConstraints: a CA, so that every TLS library takes it as the root it is.
  const isCa = issuer ? sequence() : sequence(tagged(0x01, Buffer.from([0xff])));
  // keyUsage: digitalSignature, and keyCertSign for a CA.
  const keyUsage = Buffer.from(issuer ? [7, 0b1000_0000] : [2, 0b1000_0100]);
  const altNames = [
    ...(dns ? [tagged(0x82, Buffer.from(dns))] : []),
    ...(uri ? [tagged(0x86, Buffer.from(uri))] : []),
  ];
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serialNumber()),
    ecdsaWithSha256,
    issuerName,
    sequence(time(notBefore), time(notAfter)),
    subject,
    spki,
    tagged(
      0xa3,
      sequence(
        extension('551d13', true, isCa),
        extension('551d0f', true, tagged(0x03, keyUsage)),
        ...(usages.length > 0
          ? [extension('551d25', false, sequence(...usages.map((id) => oid(id))))]
          : []),
        // subjectKeyIdentifier and authorityKeyIdentifier: of two that are trusted and have one
        // name, the right one vouches.
        extension('551d0e', false, tagged(0x04, keyIdOf(spki))),
        extension('551d23', false, sequence(tagged(0x80, keyIdOf(issuerSpki)))),
        ...(altNames.length > 0 ? [extension('551d11', false, sequence(...altNames))] : []),
      ),
    ),
  );
  const signature = sign('sha256', body, issuer?.key ?? privateKey);
  const certificate = sequence(
    body,
    ecdsaWithSha256,
    tagged(0x03, Buffer.concat([Buffer.from([0]), signature])),
  );
  return {
    certificate: pem('CERTIFICATE', certificate),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** A distinguished name of one common name. */
function nameOf(commonName: string): Buffer {
  return sequence(set(sequence(oid('550403'), tagged(0x0c, Buffer.from(commonName)))));
}

function keyIdOf(spki: Buffer): Buffer {
  return createHash('sha256').update(spki).digest().subarray(0, 20);
}

/** Positive, as RFC 5280 section 4.1.2.2 asks, and never two alike. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function set(...parts: Buffer[]): Buffer {
  return tagged(0x31, Buffer.concat(parts));
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

/** An object identifier in its encoded form. */
function oid(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, 'hex'));
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  const flag = critical ? [tagged(0x01, Buffer.from([0xff]))] : [];
  return sequence(oid(id), ...flag, tagged(0x04, value));
}

/** UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5). */
function time(date: Date): Buffer {
  const digits = `${date.toISOString().replace(/\D/g, '').slice(0, 14)}Z`;
  return date.getUTCFullYear() < 2050
    ? tagged(0x17, Buffer.from(digits.slice(2)))
    : tagged(0x18, Buffer.from(digits));
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/**
 * A self-signed X.509 certificate for one DNS name, in the few lines of DER (ITU-T X.690, RFC 5280)
 * that it takes: node:crypto makes keys and signatures, but no certificates.
 */
export function selfSigned(
  dnsName: string,
  notBefore: Date,
  days: number,
): { certificate: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const notAfter = new Date(notBefore.getTime() + days * 86_400_000);
  const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'));
  const name = sequence(set(sequence(oid('550403'), tagged(0x0c, Buffer.from(dnsName)))));
  const keyId = createHash('sha256').update(spki).digest().subarray(0, 20);
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serialNumber()),
    ecdsaWithSha256,
    name,
    sequence(time(notBefore), time(notAfter)),
    name,
    spki,
    tagged(
      0xa3,
      sequence(
        // basicConstraints: a CA, so that every TLS library takes it as the root it is.
        extension('551d13', true, sequence(tagged(0x01, Buffer.from([0xff])))),
        // keyUsage: digitalSignature and keyCertSign.
        extension('551d0f', true, tagged(0x03, Buffer.from([2, 0b1000_0100]))),
        // extendedKeyUsage: serverAuth.
        extension('551d25', false, sequence(oid('2b06010505070301'))),
        // subjectKeyIdentifier and authorityKeyIdentifier: of two that are trusted and have one name,
        // this one vouches for itself.
        extension('551d0e', false, tagged(0x04, keyId)),
        extension('551d23', false, sequence(tagged(0x80, keyId))),
        // subjectAltName: the DNS name.
        extension('551d11', false, sequence(tagged(0x82, Buffer.from(dnsName)))),
      ),
    ),
  );
  const signature = sign('sha256', body, privateKey);
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

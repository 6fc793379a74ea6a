// Derives every secret of the server from SECRET_KEYS, so that operators keep one list only.
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'

/** What is derived from SECRET_KEYS; the first key of the list writes, all of them read. */
export interface Secrets {
  /** Sign cookies; the first signs, the others still verify. */
  readonly cookieKeys: string[]
  /** AES-256-GCM under the current key: key id (8 bytes), nonce (12), ciphertext, tag (16). */
  encrypt(plain: string | Buffer): Buffer
  /** Undoes {@link Secrets.encrypt} with whichever key wrote it. @throws SecretKeyMissing */
  decrypt(sealed: Buffer): string
  /** As {@link Secrets.decrypt}, for bytes that are not text. */
  decryptBytes(sealed: Buffer): Buffer
  /** True when a value was sealed by a key that is no longer the first of the list. */
  isSealedByOldKey(sealed: Buffer): boolean
  /** A keyed digest for form tokens, base64url. */
  mac(text: string): string
  /** Whether `mac` is the keyed digest of `text` under any key of the list, in constant time. */
  macMatches(text: string, mac: string): boolean
  /** The id of the current key: 8 bytes, with which each ciphertext of {@link Secrets.encrypt} begins. */
  readonly keyId: Buffer
  /** HMAC-SHA-256 of a digest of the audit log under the current key. */
  attest(digest: Buffer): Buffer
  /** Whether `mac` authenticates `digest` under the key `key_id`; undefined when that key is not in the list. */
  isAuthentic(digest: Buffer, by: { key_id: Buffer; mac: Buffer }): boolean | undefined
}

/** Data was encrypted under a key that is no longer in SECRET_KEYS. */
export class SecretKeyMissing extends Error {
  override name = 'SecretKeyMissing'

  constructor() {
    super(
      'The database holds what was encrypted under a key that is not in SECRET_KEYS. Add that key at the end of the list.',
    )
  }
}

/** Derives all secrets with HKDF-SHA-256 (RFC 5869), with a label for each use. @param keys at least one, the current one first. */
export function secretsFrom(keys: readonly string[]): Secrets {
  const [current] = keys
  if (current === undefined) throw new Error('SECRET_KEYS is empty')
  const sealing = keys.map((key) => ({ id: keyId(key), key: derive(key, 'valetkey encryption') }))
  const macKeys = keys.map((key) => derive(key, 'valetkey forms'))
  const auditKeys = keys.map((key) => ({ id: keyId(key), key: derive(key, 'valetkey audit') }))
  const digest = (key: Buffer, text: string | Buffer) => createHmac('sha256', key).update(text).digest()

  const decryptBytes = (sealed: Buffer): Buffer => {
    const entry = sealing.find(({ id }) => id.equals(sealed.subarray(0, 8)))
    if (!entry) throw new SecretKeyMissing()
    const decipher = createDecipheriv('aes-256-gcm', entry.key, sealed.subarray(8, 20), { authTagLength: 16 })
    decipher.setAuthTag(sealed.subarray(-16))
    return Buffer.concat([decipher.update(sealed.subarray(20, -16)), decipher.final()])
  }

  return {
    cookieKeys: keys.map((key) => derive(key, 'valetkey cookies').toString('base64url')),
    encrypt(plain) {
      const { id, key } = sealing[0]!
      const nonce = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      return Buffer.concat([id, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
    },
    decrypt: (sealed) => decryptBytes(sealed).toString('utf8'),
    decryptBytes,
    isSealedByOldKey: (sealed) => !sealing[0]!.id.equals(sealed.subarray(0, 8)),
    mac: (text) => digest(macKeys[0]!, text).toString('base64url'),
    macMatches(text, mac) {
      const given = Buffer.from(mac, 'base64url')
      return macKeys.some((key) => {
        const expected = digest(key, text)
        return given.length === expected.length && timingSafeEqual(given, expected)
      })
    },
    keyId: auditKeys[0]!.id,
    attest: (of) => digest(auditKeys[0]!.key, of),
    isAuthentic(of, { key_id, mac }) {
      const entry = auditKeys.find(({ id }) => id.equals(key_id))
      if (!entry) return undefined
      const expected = digest(entry.key, of)
      return mac.length === expected.length && timingSafeEqual(mac, expected)
    },
  }
}

function derive(key: string, label: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', label, 32))
}

function keyId(key: string): Buffer {
  return createHash('sha256').update(`valetkey key id ${key}`).digest().subarray(0, 8)
}

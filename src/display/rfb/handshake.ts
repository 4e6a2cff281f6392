/** How a viewer and the server come together: version, security, and who it is. RFC 6143 sections 7.1 and 7.2 */
import type { PasswordGuard } from './authentication.ts'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import type { Connection } from './connection.ts'
import { ProtocolError, SECURITY, VENCRYPT } from './protocol.ts'

/** What a viewer has to show. */
export interface Security {
  /** The password; without one everybody may come. */
  readonly password?: string
  /** Whether everything goes by TLS; then connections have `startTls`. */
  readonly tls?: boolean
  /** One block of DES, ECB, with a key of 8 bytes. */
  encryptDes(key: Uint8Array, block: Uint8Array): Uint8Array
  /** Bytes that nobody can guess. */
  random(count: number): Uint8Array
  readonly guard: PasswordGuard
}

/** A viewer that may see the screen. */
export interface Welcomed {
  connection: Connection
  reader: ByteReader
}

/** Bytes of a challenge. */
const CHALLENGE = 16

/** The key of VNC authentication: the password's first 8 bytes, each with its bits in the opposite order. */
export function desKey(password: string): Uint8Array {
  const key = new Uint8Array(8)
  key.set(latin1(password).subarray(0, 8))
  return key.map(byte => {
    let reversed = 0
    for (let bit = 0; bit < 8; bit++) if (byte & (1 << bit)) reversed |= 0x80 >> bit
    return reversed
  })
}

/** A password as viewers send it. */
function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, character => character.codePointAt(0)!)
}

/**
 * Speaks with a viewer until it may see the screen.
 * @throws ProtocolError or Gone where it does not get so far; a wrong password is a ProtocolError after the viewer was told
 */
export async function shakeHands(connection: Connection, security: Security): Promise<Welcomed> {
  const reader = new ByteReader(() => connection.read())
  await connection.write(new TextEncoder().encode('RFB 003.008\n'))
  const [, major, minor] =
    /^RFB (\d{3})\.(\d{3})\n$/.exec(new TextDecoder('latin1').decode(await reader.bytes(12))) ?? []
  if (major === undefined) throw new ProtocolError('what came first is no version of RFB')
  // 3.5 was never published, and means 3.3; whatever is later understands 3.8.
  const version = Number(major) > 3 || Number(minor) >= 8 ? 8 : Number(minor) === 7 ? 7 : 3
  return await new Handshake(connection, reader, security, version).run()
}

class Handshake {
  #connection: Connection
  #reader: ByteReader
  readonly #security: Security
  readonly #version: 3 | 7 | 8

  constructor(connection: Connection, reader: ByteReader, security: Security, version: 3 | 7 | 8) {
    this.#connection = connection
    this.#reader = reader
    this.#security = security
    this.#version = version
  }

  async run(): Promise<Welcomed> {
    const { password, tls } = this.#security
    const inner = password === undefined ? SECURITY.none : SECURITY.vncAuthentication
    const type = tls ? SECURITY.veNCrypt : inner
    if (this.#version === 3) {
      if (tls) {
        const reason = 'this server asks for TLS, which your viewer does not know'
        await this.#connection.write(new ByteWriter().u32(SECURITY.invalid).text(reason).take())
        throw new ProtocolError('it speaks RFB 3.3, which has no TLS')
      }
      await this.#connection.write(new ByteWriter().u32(type).take())
    } else {
      await this.#connection.write(Uint8Array.of(1, type))
      await this.#reader.need(1)
      const chosen = this.#reader.u8()
      if (chosen !== type) throw new ProtocolError(`it chose security type ${chosen}, which was not offered`)
    }
    if (type === SECURITY.veNCrypt) await this.#veNCrypt(password === undefined ? VENCRYPT.x509None : VENCRYPT.x509Vnc)
    if (password !== undefined) await this.#authenticate(password)
    else if (this.#version === 8) await this.#result(true)
    return { connection: this.#connection, reader: this.#reader }
  }

  /** Goes on under TLS. rfbproto.rst, "VeNCrypt" */
  async #veNCrypt(subtype: number): Promise<void> {
    await this.#connection.write(Uint8Array.of(0, 2))
    await this.#reader.need(2)
    const version = this.#reader.u16()
    if (version !== 2) {
      await this.#connection.write(Uint8Array.of(0xff))
      throw new ProtocolError('it does not know VeNCrypt 0.2')
    }
    await this.#connection.write(new ByteWriter().u8(0).u8(1).u32(subtype).take())
    await this.#reader.need(4)
    const chosen = this.#reader.u32()
    if (chosen !== subtype) {
      await this.#connection.write(Uint8Array.of(0))
      throw new ProtocolError(`it chose subtype ${chosen} of VeNCrypt, which was not offered`)
    }
    // What came before TLS began would be taken for what came inside.
    if (this.#reader.available > 0) throw new ProtocolError('it sent bytes before TLS began')
    await this.#connection.write(Uint8Array.of(1))
    if (!this.#connection.startTls) throw new ProtocolError('there is no TLS on this connection')
    this.#connection = await this.#connection.startTls()
    const secured = this.#connection
    this.#reader = new ByteReader(() => secured.read())
  }

  /** VNC authentication. RFC 6143 section 7.2.2 */
  async #authenticate(password: string): Promise<void> {
    const { random, encryptDes, guard } = this.#security
    const challenge = random(CHALLENGE)
    await this.#connection.write(challenge.slice())
    const response = await this.#reader.bytes(CHALLENGE)
    const isRight = await guard.attempt(this.#connection.peer, () => {
      const key = desKey(password)
      let difference = 0
      for (let at = 0; at < CHALLENGE; at += 8) {
        const block = encryptDes(key, challenge.subarray(at, at + 8))
        for (let n = 0; n < 8; n++) difference |= block[n] ^ response[at + n]
      }
      return difference === 0
    })
    await this.#result(isRight === true, isRight === undefined ? 'Too many attempts' : 'Wrong password')
    if (!isRight) throw new ProtocolError(isRight === undefined ? 'too many attempts' : 'wrong password')
  }

  /** SecurityResult. RFC 6143 section 7.1.3 */
  async #result(isOk: boolean, reason = ''): Promise<void> {
    const writer = new ByteWriter().u32(isOk ? 0 : 1)
    if (!isOk && this.#version === 8) writer.text(reason)
    await this.#connection.write(writer.take())
  }
}

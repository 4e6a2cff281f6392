/** `--display vnc=…`: RFB at a TCP port. */
import { createCipheriv, randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { RfbServer } from '../../../display/rfb/server.ts'
import { reasonOf, UserError } from '../user-error.ts'
import { nodeDeflateOnce, nodeDeflater } from './deflater.ts'
import type { Display } from './display.ts'
import {
  type Address,
  addressText,
  type CertificateFiles,
  isLoopback,
  listen,
  readCertificate,
  resolveHost,
} from './listen.ts'
import { SocketConnection } from './socket-connection.ts'

/** How a machine is shown by VNC. */
export interface VncOptions extends Address {
  /** A file whose first line is the password. */
  readonly passwordFile?: string
  /** For TLS, without which no viewer is let in then. */
  readonly certificate?: CertificateFiles
}

/** A server of VNC. */
export interface VncDisplay extends Display {
  /** Where it listens. */
  readonly address: Address
  /** Viewers that see the screen. */
  readonly viewers: number
}

/** Characters of a password that VNC authentication looks at. */
const PASSWORD_LENGTH = 8

/** Connections at once; more are refused by the system. */
const MOST_CONNECTIONS = 512

/** What sentences begin with. */
function named(options: Address): string {
  return `--display vnc=${addressText(options)}`
}

/** One block of single DES: triple DES with the same key three times, as OpenSSL has the one but not the other any more. */
export function encryptDes(key: Uint8Array, block: Uint8Array): Uint8Array {
  const cipher = createCipheriv('des-ede3-ecb', Buffer.concat([key, key, key]), null)
  return cipher.setAutoPadding(false).update(block)
}

/**
 * Listens, and shows a machine when there is one.
 * @param note is told what the user should know, wrong passwords and viewers that misbehave: one sentence each
 * @throws UserError when a file is missing, anybody could use the machine, or the port cannot be had
 */
export async function openVnc(options: VncOptions, note: (sentence: string) => void): Promise<VncDisplay> {
  const what = named(options)
  const host = await resolveHost(options.host, what)
  if (options.passwordFile === undefined && !isLoopback(host))
    throw new UserError(
      `${what}: everyone who reaches this address could use the machine: add password-file=FILE, or listen at 127.0.0.1`,
    )
  const password = options.passwordFile === undefined ? undefined : await readPassword(options.passwordFile, what, note)
  const certificate = options.certificate && (await readCertificate(options.certificate, what))
  let rfb: RfbServer | undefined
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }, socket => {
    const { remoteAddress = '', remotePort = 0 } = socket
    const peer = addressText({ host: remoteAddress, port: remotePort })
    const connection = new SocketConnection(socket, peer, isLoopback(remoteAddress), { certificate })
    if (rfb) void rfb.serve(connection)
    else connection.close()
  })
  server.maxConnections = MOST_CONNECTIONS
  const address = await listen(server, { host, port: options.port }, what)
  return {
    address,
    place: `vnc://${addressText(address)}`,
    get viewers() {
      return rfb?.viewers ?? 0
    },
    show({ machine: { screen, keyboard, mouse }, name }) {
      if (!screen) return
      rfb = new RfbServer({
        ...{ screen, keyboard, mouse, name, password, encryptDes },
        tls: certificate !== undefined,
        random: count => randomBytes(count),
        makeDeflater: nodeDeflater,
        deflateOnce: nodeDeflateOnce,
        log: sentence => note(`vnc: ${sentence}`),
      })
    },
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        rfb?.close()
      }),
  }
}

async function readPassword(path: string, what: string, note: (sentence: string) => void): Promise<string> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
    const { mode } = await stat(path)
    if (mode & 0o077) note(`${what}: others can read the password in '${path}': chmod 600 it`)
  } catch (error) {
    throw new UserError(`${what}: the password file '${path}' cannot be read: ${reasonOf(error)}`)
  }
  const [password] = text.split(/\r?\n/)
  if (password === '')
    throw new UserError(`${what}: the password file '${path}' begins with an empty line, not a password`)
  if (![...password].every(character => character.codePointAt(0)! < 256))
    throw new UserError(`${what}: the password in '${path}' has characters that VNC does not know: use Latin letters`)
  if (password.length > PASSWORD_LENGTH)
    note(`${what}: only the first ${PASSWORD_LENGTH} characters of the password count, as always with VNC`)
  return password
}

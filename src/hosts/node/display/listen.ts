/** Listening for those who want to see a machine: addresses, and who may reach them. */
import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import type { AddressInfo, Server } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import { reasonOf, UserError } from '../user-error.ts'

/** Where to listen. */
export interface Address {
  /** A name or an address of this host. */
  readonly host: string
  /** 0 takes any that is free. */
  readonly port: number
}

/** Files of a certificate (with those above it) and its private key, both as PEM. */
export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

/** A certificate, as `node:tls` takes it. */
export interface Certificate {
  readonly cert: Buffer
  readonly key: Buffer
  /** For viewers of VNC. */
  readonly context: SecureContext
}

/** An address for people: `127.0.0.1:5900`, `[::1]:5900`. */
export function addressText({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Whether only this host can reach an address of its own. RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3 */
export function isLoopback(address: string): boolean {
  return /^(::ffff:)?127\.\d+\.\d+\.\d+$/i.test(address) || address === '::1'
}

/**
 * The address of this host that a name means.
 * @param what whose address it is, for the sentence: `--display vnc=…`
 * @throws UserError when there is none
 */
export async function resolveHost(host: string, what: string): Promise<string> {
  try {
    return (await lookup(host)).address
  } catch (error) {
    throw new UserError(`${what}: '${host}' is no address of this host: ${reasonOf(error)}`)
  }
}

/**
 * Begins to listen.
 * @returns where it does, with the port that it got
 * @throws UserError when it cannot
 */
export function listen(server: Server, address: Address, what: string): Promise<Address> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => {
      const place = addressText(address)
      const reasons: Record<string, string> = {
        EADDRINUSE: `port ${address.port} is in use at ${address.host}: choose another, or end what uses it`,
        EADDRNOTAVAIL: `this host has no address ${address.host}`,
        EACCES: `the system does not let you use port ${address.port}: choose one from 1024 on`,
      }
      reject(new UserError(`${what}: ${reasons[error.code ?? ''] ?? `cannot listen at ${place}: ${reasonOf(error)}`}`))
    }
    server.once('error', refuse)
    server.listen({ host: address.host, port: address.port }, () => {
      server.off('error', refuse)
      // Connections that fail before they are accepted are nobody's business.
      server.on('error', () => {})
      const { address: host, port } = server.address() as AddressInfo
      resolve({ host, port })
    })
  })
}

/**
 * Reads a certificate and its key.
 * @throws UserError when one cannot be read, or they are not what they should be
 */
export async function readCertificate({ cert, key }: CertificateFiles, what: string): Promise<Certificate> {
  const read = (path: string, subject: string) =>
    readFile(path).catch(error => {
      throw new UserError(`${what}: ${subject} '${path}' cannot be read: ${reasonOf(error)}`)
    })
  const files = { cert: await read(cert, 'the certificate'), key: await read(key, 'the key') }
  try {
    // Viewers with GnuTLS, as TigerVNC's 1.12, wait for ever behind the tickets that TLS 1.3 sends after its handshake.
    const versions = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
    return { ...files, context: createSecureContext({ ...files, ...versions }) }
  } catch (error) {
    const { message } = error as Error
    throw new UserError(`${what}: '${cert}' and '${key}' are no certificate and its key, as PEM (${message})`)
  }
}

/** Whether a request may be: from which page it comes, for which host, and whether it knows the token. */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { isLoopback } from './listen.ts'

/** Who may come. */
export interface Gate {
  /** What the URL has to have, where that is asked for. */
  readonly token: string | undefined
  /** Whether only this host can reach the address. */
  readonly isLocal: boolean
  /** Names of this host besides the usual ones, in lower case. */
  readonly names: readonly string[]
}

/** A host as in a URL, without its port and brackets, in lower case. */
function hostOf(authority: string): string {
  const [, v6, other] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d+)?$/.exec(authority.toLowerCase()) ?? []
  return v6 ?? other ?? ''
}

/**
 * Whether the browser means this host: a page elsewhere can have its own name lead here (DNS rebinding), but cannot have the browser
 * send another name than its own.
 */
export function isOurHost(authority: string | undefined, { isLocal, names }: Gate): boolean {
  if (authority === undefined) return false
  const host = hostOf(authority)
  if (host === '') return false
  if (host === 'localhost' || host.endsWith('.localhost') || isLoopback(host)) return true
  if (names.includes(host)) return true
  if (isLocal) return false
  const own = hostname().toLowerCase()
  return isIP(host) !== 0 || host === own || host === `${own}.local`
}

/** Whether a page of ours asks: browsers tell where a page came from wherever it could do harm. */
export function isOurPage({ headers }: IncomingMessage): boolean {
  const { origin, host } = headers
  if (origin === undefined) return true
  try {
    return new URL(origin).host === host?.toLowerCase()
  } catch {
    return false
  }
}

/** Whether the URL has the token; always the same time for one that is wrong. */
export function hasToken(url: URL, { token }: Gate): boolean {
  if (token === undefined) return true
  const given = Buffer.from(url.searchParams.get('token') ?? '')
  const right = Buffer.from(token)
  return given.length === right.length && timingSafeEqual(given, right)
}

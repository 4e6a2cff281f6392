/** Serves a site to the browser on this computer, isolated as machines need it. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { UserError } from '../../src/hosts/node/index.ts'
import type { Site } from './bundle.ts'

const TYPES: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  map: 'application/json',
  json: 'application/json',
  svg: 'image/svg+xml',
  png: 'image/png',
  webmanifest: 'application/manifest+json',
}

/** What the page may load and run: its own files, and WebAssembly. */
export const CONTENT_SECURITY_POLICY =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; connect-src 'self' blob:; worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Without the first two there is no memory that threads share. */
export const HEADERS: Readonly<Record<string, string>> = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-cache',
}

/** Gives a file of the site; undefined where there is none, a rejection with a sentence where it cannot be had. */
export type Find = (path: string) => Promise<Uint8Array | undefined>

/** Where and how {@link serveSite} serves. */
export interface ServeOptions {
  host: string
  /** 0: any that is free. */
  port: number
  /** Default {@link HEADERS}. */
  headers?: Readonly<Record<string, string>>
}

/** A server that serves. */
export interface SiteServer {
  url: string
  close(): Promise<void>
}

/** A file among those of a site, by the path of a request. */
export function findIn(site: Site): Find {
  return async path => site.get(path)
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  find: Find,
  headers: Readonly<Record<string, string>>,
) {
  const say = (status: number, sentence: string) => {
    response.writeHead(status, { ...headers, 'Content-Type': 'text/plain; charset=utf-8' }).end(`${sentence}\n`)
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return say(405, 'this server only gives files')
  let path: string
  try {
    path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname).slice(1)
  } catch {
    return say(400, 'the path cannot be read')
  }
  if (path === '' || path.endsWith('/')) path += 'index.html'
  let bytes: Uint8Array | undefined
  try {
    bytes = await find(path)
  } catch (error) {
    return say(503, (error as Error).message)
  }
  if (!bytes) return say(404, `there is no file '${path}' here`)
  const type = TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream'
  const tag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 27)}"`
  if (request.headers['if-none-match'] === tag) {
    response.writeHead(304, { ...headers, ETag: tag }).end()
    return
  }
  response.writeHead(200, { ...headers, 'Content-Type': type, 'Content-Length': bytes.length, ETag: tag })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

/** Serves files until it is closed. @throws UserError where the address cannot be had */
export async function serveSite(find: Find, { host, port, headers = HEADERS }: ServeOptions): Promise<SiteServer> {
  const server: Server = createServer((request, response) => {
    answer(request, response, find, headers).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason =
        error.code === 'EADDRINUSE'
          ? 'something else listens there: end it, or give another with --port'
          : error.code === 'EACCES'
            ? 'permission denied: give a port above 1023 with --port'
            : error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND'
              ? 'this computer has no such address: give one with --host'
              : error.message
      reject(new UserError(`the page cannot be served at ${host}, port ${port}: ${reason}`))
    })
    server.listen(port, host, resolve)
  })
  const address = server.address() as { address: string; port: number }
  const shown = host.includes(':') ? `[${host}]` : host
  return {
    url: `http://${shown === '127.0.0.1' ? 'localhost' : shown}:${address.port}/`,
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

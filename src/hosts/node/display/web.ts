/** `--display web=…`: the console in a page. */
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { RfbServer } from '../../../display/rfb/server.ts'
import { UserError } from '../user-error.ts'
import { nodeDeflateOnce, nodeDeflater } from './deflater.ts'
import type { Display, Shown } from './display.ts'
import {
  type Address,
  addressText,
  type CertificateFiles,
  isLoopback,
  listen,
  readCertificate,
  resolveHost,
} from './listen.ts'
import { MediaFolder } from './media-folder.ts'
import { SerialRecord } from './serial-record.ts'
import { encryptDes } from './vnc.ts'
import { serveControl } from './web-control.ts'
import { PageFiles } from './web-files.ts'
import { type Gate, hasToken, isOurHost, isOurPage } from './web-request.ts'
import { WebSocketConnection } from './web-socket-connection.ts'

/** How a machine is shown in a page. */
export interface WebOptions extends Address {
  /** For https. */
  readonly certificate?: CertificateFiles
  /** A folder with images of CDs and floppies that the page may put into drives, and where it may put more. */
  readonly mediaFolder?: string
  /** A name under which browsers reach this host, besides those it has anyway. */
  readonly hostName?: string
}

/** A server of the page. */
export interface WebDisplay extends Display {
  /** Where it listens. */
  readonly address: Address
  /** What the page's URL has to have; undefined where only this host can reach it. */
  readonly token: string | undefined
}

/** Connections at once. */
const MOST_CONNECTIONS = 512
const MOST_SOCKETS = 256

/** The largest message of a page. */
const MOST_MESSAGE = 1 << 20

/** Milliseconds between questions whether a page is still there. */
const HEARTBEAT = 30_000

/**
 * Listens, and shows a machine when there is one.
 * @param note is told what the user should know: one sentence each
 * @throws UserError when a file or folder is missing, or the port cannot be had
 */
export async function openWeb(options: WebOptions, note: (sentence: string) => void): Promise<WebDisplay> {
  const what = `--display web=${addressText(options)}`
  const host = await resolveHost(options.host, what)
  const certificate = options.certificate && (await readCertificate(options.certificate, what))
  const media = options.mediaFolder === undefined ? undefined : await MediaFolder.open(options.mediaFolder, what)
  const isLocal = isLoopback(host)
  const gate: Gate = {
    isLocal,
    token: isLocal ? undefined : randomBytes(24).toString('base64url'),
    names: [options.host, options.hostName ?? ''].filter(name => name !== '').map(name => name.toLowerCase()),
  }
  const console = new WebConsole(gate, media, note)
  const onRequest = (request: IncomingMessage, response: ServerResponse) => void console.request(request, response)
  const server = certificate ? createSecureServer(certificate, onRequest) : createServer(onRequest)
  server.maxConnections = MOST_CONNECTIONS
  // An upload may take as long as it does; headers may not.
  server.requestTimeout = 0
  server.headersTimeout = 20_000
  server.on('upgrade', (request, socket, head) => console.upgrade(request, socket, head))
  const address = await listen(server, { host, port: options.port }, what)
  // An address that stands for all of them is none that a browser can go to.
  const reachable = /^(0\.0\.0\.0|::)$/.test(address.host) ? { ...address, host: '127.0.0.1' } : address
  const query = gate.token === undefined ? '' : `?token=${gate.token}`
  if (!isLocal && !certificate)
    note(`${what}: who listens to the network sees what you type: add tls-cert=FILE,tls-key=FILE, or go by ssh -L`)
  return {
    address,
    token: gate.token,
    place: `${certificate ? 'https' : 'http'}://${addressText(reachable)}/${query}`,
    show: shown => console.show(shown),
    async close() {
      await console.close()
      server.closeAllConnections()
      await new Promise<void>(resolve => server.close(() => resolve()))
    },
  }
}

/** The page's server behind its port. */
class WebConsole {
  readonly #gate: Gate
  readonly #media: MediaFolder | undefined
  readonly #note: (sentence: string) => void
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MOST_MESSAGE,
    perMessageDeflate: false,
    clientTracking: true,
  })
  readonly #heartbeat: NodeJS.Timeout
  /** Pages that have answered since the last question. */
  readonly #alive = new WeakSet<WebSocket>()
  readonly #files = new PageFiles()
  #shown: Shown | undefined
  #rfb: RfbServer | undefined
  #records = new Map<string, SerialRecord>()
  /** Hosts that were refused and told of: each once, and not too many. */
  readonly #refused = new Set<string>()

  constructor(gate: Gate, media: MediaFolder | undefined, note: (sentence: string) => void) {
    this.#gate = gate
    this.#media = media
    this.#note = note
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT)
    this.#heartbeat.unref()
  }

  show(shown: Shown): void {
    this.#shown = shown
    const { machine, name, ports } = shown
    const { screen, keyboard, mouse } = machine
    if (screen)
      this.#rfb = new RfbServer({
        ...{ screen, keyboard, mouse, name, encryptDes },
        random: count => randomBytes(count),
        makeDeflater: nodeDeflater,
        deflateOnce: nodeDeflateOnce,
        log: sentence => this.#note(`web: ${sentence}`),
      })
    for (const { name, hub } of ports) if (name.startsWith('COM')) this.#records.set(name, new SerialRecord(hub))
  }

  /** Answers a request for a file, or an upload. */
  async request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = this.#admit(request)
    const headers = {
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Resource-Policy': 'same-origin',
      'Cache-Control': 'no-cache',
    }
    const answer = (status: number, text: string) => {
      response.writeHead(status, { ...headers, 'Content-Type': 'text/plain; charset=utf-8' })
      response.end(`${text}\n`)
    }
    request.on('error', () => {})
    try {
      if (typeof url === 'string') answer(421, url)
      else if (request.method === 'PUT') await this.#upload(request, url, answer)
      else if (request.method !== 'GET' && request.method !== 'HEAD') answer(405, 'only GET and PUT are known here')
      else if (url.pathname === '/' && !hasToken(url, this.#gate))
        answer(403, 'This console opens with the whole address that typetwo has printed, with its token.')
      else {
        const file = await this.#files.get(url.pathname)
        if (!file) answer(404, 'there is nothing here')
        else {
          response.writeHead(200, {
            ...headers,
            'Content-Type': file.type,
            'Content-Length': file.bytes.length,
            ...(file.policy !== undefined && { 'Content-Security-Policy': file.policy }),
          })
          response.end(request.method === 'HEAD' ? undefined : file.bytes)
        }
      }
    } catch (error) {
      if (!response.headersSent) answer(500, (error as Error).message)
      else response.destroy()
    }
  }

  /** Opens a WebSocket. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {})
    const url = this.#admit(request)
    const refuse = (status: string) => socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`)
    if (typeof url === 'string') return void refuse('421 Misdirected Request')
    // A page of somebody else's may open a WebSocket to anywhere; browsers say which page it is.
    if (!isOurPage(request)) return void refuse('403 Forbidden')
    if (!hasToken(url, this.#gate)) return void refuse('403 Forbidden')
    if (this.#sockets.clients.size >= MOST_SOCKETS) return void refuse('503 Service Unavailable')
    const serve = this.#socketServer(url, request)
    if (!serve) return void refuse('404 Not Found')
    this.#sockets.handleUpgrade(request, socket, head, open => {
      open.on('error', () => {})
      this.#alive.add(open)
      open.on('pong', () => this.#alive.add(open))
      serve(open)
    })
  }

  /** Says that the machine has ended, and ends. */
  async close(): Promise<void> {
    clearInterval(this.#heartbeat)
    this.#rfb?.close()
    const all = [...this.#sockets.clients]
    for (const client of all) client.close(1001, 'typetwo has ended')
    await new Promise(resolve => setTimeout(resolve, all.length > 0 ? 200 : 0))
    for (const client of all) client.terminate()
  }

  /** @returns the URL, or why this host is not meant */
  #admit(request: IncomingMessage): URL | string {
    const { host } = request.headers
    let url: URL | undefined
    try {
      url = new URL(request.url ?? '/', 'http://localhost')
    } catch {
      // Refused below.
    }
    if (url && isOurHost(host, this.#gate)) return url
    const shown = String(host).slice(0, 100)
    if (!this.#refused.has(shown) && this.#refused.size < 16) {
      this.#refused.add(shown)
      this.#note(
        `web: a browser asked for the host ${JSON.stringify(shown)}, which is none of this host's names: if it is one, add host-name=NAME`,
      )
    }
    return 'This console is not reached under that name: use the address that typetwo has printed, or add the name by host-name=NAME to --display web.'
  }

  #socketServer(url: URL, request: IncomingMessage): ((socket: WebSocket) => void) | undefined {
    const shown = this.#shown
    const rfb = this.#rfb
    if (!shown) return undefined
    const { remoteAddress = '', remotePort = 0 } = request.socket
    const peer = addressText({ host: remoteAddress, port: remotePort })
    if (url.pathname === '/rfb' && rfb)
      return socket => void rfb.serve(new WebSocketConnection(socket, peer, isLoopback(remoteAddress)), true)
    if (url.pathname === '/control') return socket => serveControl(socket, shown, this.#records, this.#media)
    const record = this.#records.get(/^\/serial\/(COM[1-4])$/.exec(url.pathname)?.[1] ?? '')
    return record && (socket => record.serve(socket))
  }

  async #upload(request: IncomingMessage, url: URL, answer: (status: number, text: string) => void): Promise<void> {
    const length = Number(request.headers['content-length'])
    const [, name] = /^\/media\/([^/]+)$/.exec(url.pathname) ?? []
    if (!isOurPage(request) || !hasToken(url, this.#gate)) return answer(403, 'that is not for you')
    if (!this.#media || name === undefined) return answer(404, 'no folder of media was allowed')
    if (!Number.isSafeInteger(length)) return answer(411, 'the length of the file is not known')
    try {
      await this.#media.add(decodeURIComponent(name), request, length)
      answer(201, 'it is there')
    } catch (error) {
      if (!(error instanceof UserError) && !(error instanceof URIError)) throw error
      answer(409, error.message)
    }
  }

  #beat(): void {
    for (const client of this.#sockets.clients) {
      if (!this.#alive.has(client)) client.terminate()
      this.#alive.delete(client)
      client.ping()
    }
  }
}

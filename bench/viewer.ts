/** A viewer of a machine's screen in a process of its own, so that what it does is not counted: it throws away what it gets, and asks for more. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { WebSocket } from 'ws'
import { ByteWriter } from '../src/display/rfb/byte-writer.ts'
import { type PixelFormatFields, writePixelFormat } from '../src/display/rfb/pixel-format.ts'
import { ENCODING } from '../src/display/rfb/protocol.ts'

/** Milliseconds between two requests: there is always one open. */
const REQUESTS = 8

/** Milliseconds that one which vanishes stays: each a little longer than the one before. */
const LEAST_STAY = 500
const STAY_STEP = 20

/** Where a viewer looks, and how. */
export interface ViewerOptions {
  port: number
  /** By the page's WebSocket, in place of TCP. */
  web?: boolean
  encodings: readonly number[]
  /** Pixels as it wants them; the server's where none are given. */
  format?: PixelFormatFields
  /** More viewers of the same kind, that never read what they asked for. */
  stalled?: number
  /** More that do the same for a moment, break off, and come again. */
  vanishing?: number
  width: number
  height: number
}

/** A viewer that was started. */
export interface Viewer {
  /** Bytes that it has received. */
  received(): Promise<number>
  stop(): void
}

/** The connection of a viewer. */
interface Line {
  write(bytes: Uint8Array): void
  /** Bytes that the connection has not taken yet. */
  waiting(): number
  onData(take: (bytes: Uint8Array) => void): void
  pause(): void
  /** Breaks off without a word. */
  destroy(): void
}

async function openTcp(port: number): Promise<Line> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  return {
    write: bytes => void socket.write(bytes),
    waiting: () => socket.writableLength,
    onData: take => void socket.on('data', take),
    pause: () => void socket.pause(),
    destroy: () => void socket.resetAndDestroy(),
  }
}

async function openWebSocket(port: number): Promise<Line> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/rfb`)
  socket.binaryType = 'nodebuffer'
  await once(socket, 'open')
  return {
    write: bytes => socket.send(bytes),
    waiting: () => socket.bufferedAmount,
    onData: take => void socket.on('message', take),
    pause: () => socket.pause(),
    destroy: () => socket.terminate(),
  }
}

/** A connection, past its handshake, with encodings and the first request. */
async function open({ port, web, encodings, format, width, height }: ViewerOptions): Promise<Line> {
  const line = await (web ? openWebSocket(port) : openTcp(port))
  line.write(new TextEncoder().encode('RFB 003.008\n'))
  line.write(Uint8Array.of(1, 1))
  const writer = new ByteWriter()
  if (format) {
    writer.u8(0).u8(0).u8(0).u8(0)
    writePixelFormat(writer, format)
  }
  const wanted = [...encodings, ENCODING.fence, ENCODING.continuousUpdates]
  writer.u8(2).u8(0).u16(wanted.length)
  for (const encoding of wanted) writer.u32(encoding >>> 0)
  writer.u8(3).u8(0).u16(0).u16(0).u16(width).u16(height)
  line.write(writer.take())
  return line
}

/** Comes, stalls and breaks off, again and again. */
async function comeAndGo(options: ViewerOptions, stay: number): Promise<never> {
  for (;;) {
    const line = await open(options)
    line.pause()
    await new Promise(resolve => setTimeout(resolve, stay))
    line.destroy()
  }
}

/** What the process does. */
async function view(options: ViewerOptions): Promise<void> {
  for (let n = 0; n < (options.stalled ?? 0); n++) (await open(options)).pause()
  for (let n = 0; n < (options.vanishing ?? 0); n++) void comeAndGo(options, LEAST_STAY + n * STAY_STEP)
  const line = await open(options)
  let bytes = 0
  line.onData(part => {
    bytes += part.length
  })
  setInterval(() => {
    if (line.waiting() < 1000)
      line.write(new ByteWriter().u8(3).u8(1).u16(0).u16(0).u16(options.width).u16(options.height).take())
  }, REQUESTS)
  process.on('message', () => process.send!(bytes))
  process.on('disconnect', () => process.exit())
  process.send!('ready')
}

/** Starts a viewer. */
export async function startViewer(options: ViewerOptions): Promise<Viewer> {
  const child = fork(import.meta.filename, [JSON.stringify(options)])
  await once(child, 'message')
  return {
    async received() {
      child.send('how much')
      return (await once(child, 'message'))[0]
    },
    stop: () => void child.kill(),
  }
}

if (import.meta.main) await view(JSON.parse(process.argv[2]))

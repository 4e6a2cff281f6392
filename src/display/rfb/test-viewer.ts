/**
 * A viewer for tests: the protocol's messages are written here by hand, while pictures are unpacked by the decoders of noVNC, which
 * know nothing of how they were packed.
 */
import { ByteWriter } from './byte-writer.ts'
import type { Connection } from './connection.ts'
import { type PixelFormatFields, writePixelFormat } from './pixel-format.ts'
import { ENCODING, SERVER_MESSAGE, SIZE_REASON, SIZE_STATUS } from './protocol.ts'

/** One direction of a {@link pipe}: what was written waits for its reader, so much of it at most. */
class Direction {
  readonly #chunks: Uint8Array[] = []
  #bytes = 0
  #isEnded = false
  #wake: (() => void)[] = []
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  get bytes(): number {
    return this.#bytes
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#isEnded) return undefined
      await this.#change()
    }
    const chunk = this.#chunks.shift()!
    this.#bytes -= chunk.length
    this.#changed()
    return chunk
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#isEnded) throw Object.assign(new Error('the connection has ended'), { code: 'EPIPE' })
    if (bytes.length > 0) this.#chunks.push(bytes)
    this.#bytes += bytes.length
    this.#changed()
    while (this.#bytes > this.#limit && !this.#isEnded) await this.#change()
    if (this.#isEnded) throw Object.assign(new Error('the connection has ended'), { code: 'EPIPE' })
  }

  end(): void {
    this.#isEnded = true
    this.#changed()
  }

  #change(): Promise<void> {
    return new Promise(resolve => this.#wake.push(resolve))
  }

  #changed(): void {
    const all = this.#wake
    this.#wake = []
    for (const wake of all) wake()
  }
}

/** A connection within the process. @returns its two ends, and how much waits for the viewer */
export function pipe({ peer = '127.0.0.1:1', isLocal = false, limit = 64 * 1024 } = {}): {
  server: Connection
  viewer: Connection
  waiting: () => number
} {
  const up = new Direction(limit)
  const down = new Direction(limit)
  const close = () => {
    up.end()
    down.end()
  }
  const end = (from: Direction, to: Direction): Connection => ({
    peer,
    isLocal,
    read: () => from.read(),
    write(bytes, sent) {
      const written = to.write(sent ? bytes.slice() : bytes)
      sent?.()
      return written
    },
    close,
  })
  return { server: end(up, down), viewer: end(down, up), waiting: () => down.bytes }
}

/** What noVNC's decoders draw on: a picture in memory. */
class Picture {
  width = 0
  height = 0
  data = new Uint8Array(0)

  resize(width: number, height: number): void {
    this.width = width
    this.height = height
    this.data = new Uint8Array(width * height * 4)
  }

  fillRect(x: number, y: number, width: number, height: number, colour: ArrayLike<number>): void {
    for (let row = y; row < y + height; row++)
      for (let column = x; column < x + width; column++)
        this.data.set([colour[0], colour[1], colour[2], 255], (row * this.width + column) * 4)
  }

  blitImage(x: number, y: number, width: number, height: number, data: Uint8Array, offset: number): void {
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) {
        const from = offset + (row * width + column) * 4
        this.data.set([data[from], data[from + 1], data[from + 2], 255], ((y + row) * this.width + x + column) * 4)
      }
  }

  copyImage(fromX: number, fromY: number, x: number, y: number, width: number, height: number): void {
    const part = new Uint8Array(width * height * 4)
    for (let row = 0; row < height; row++) {
      const from = ((fromY + row) * this.width + fromX) * 4
      part.set(this.data.subarray(from, from + width * 4), row * width * 4)
    }
    this.blitImage(x, y, width, height, part, 0)
  }
}

/** A decoder of noVNC's. */
interface Decoder {
  decodeRect(
    x: number,
    y: number,
    width: number,
    height: number,
    socket: unknown,
    display: Picture,
    depth: number,
  ): boolean
}

/** noVNC's decoders and its queue of bytes, which expect a page. */
async function loadDecoders(): Promise<{ decoders: Map<number, Decoder>; queue: ReceiveQueue }> {
  const page = globalThis as { window?: unknown }
  page.window ??= globalThis
  const core = new URL('../../../node_modules/@novnc/novnc/core/', import.meta.url)
  const load = async (path: string) => (await import(new URL(path, core).href)).default
  const decoders = new Map<number, Decoder>()
  for (const [encoding, name] of [
    [ENCODING.raw, 'raw'],
    [ENCODING.copyRect, 'copyrect'],
    [ENCODING.hextile, 'hextile'],
    [ENCODING.tight, 'tight'],
    [ENCODING.zrle, 'zrle'],
  ] as const)
    decoders.set(encoding, new (await load(`decoders/${name}.js`))())
  const queue = new (await load('websock.js'))()
  queue._allocateBuffers()
  return { decoders, queue }
}

/** The part of noVNC's queue that is used here. */
interface ReceiveQueue {
  _recvMessage(event: { data: ArrayBuffer }): void
  rQlen(): number
  rQshift8(): number
  rQshift16(): number
  rQshift32(): number
  rQshiftBytes(count: number): Uint8Array
}

/** Reads what the server sends by noVNC's queue. */
class QueueReader {
  readonly #connection: Connection
  readonly #queue: ReceiveQueue
  /** Bytes that came. */
  received = 0

  constructor(connection: Connection, queue: ReceiveQueue) {
    this.#connection = connection
    this.#queue = queue
  }

  get available(): number {
    return this.#queue.rQlen()
  }

  /** Waits for more. */
  async more(): Promise<void> {
    const bytes = await this.#connection.read()
    if (!bytes) throw new Error('the server has gone')
    this.received += bytes.length
    this.#queue._recvMessage({ data: new Uint8Array(bytes).buffer })
  }

  async need(count: number): Promise<void> {
    while (this.#queue.rQlen() < count) await this.more()
  }

  u8(): number {
    return this.#queue.rQshift8()
  }

  u16(): number {
    return this.#queue.rQshift16()
  }

  u32(): number {
    return this.#queue.rQshift32() >>> 0
  }

  s32(): number {
    return this.#queue.rQshift32() | 0
  }

  async bytes(count: number): Promise<Uint8Array> {
    await this.need(count)
    return this.#queue.rQshiftBytes(count)
  }
}

/** The server's messages in the order in which they came. */
export type Event =
  | { type: 'update'; encodings: number[]; bytes: number }
  | { type: 'fence'; flags: number; payload: Uint8Array }
  | { type: 'end of continuous updates' }
  | { type: 'colours'; colours: number[] }

/** What noVNC asks for: red in the lowest byte. */
export const NOVNC_FORMAT: PixelFormatFields = {
  bitsPerPixel: 32,
  depth: 24,
  bigEndian: false,
  trueColour: true,
  redMax: 255,
  greenMax: 255,
  blueMax: 255,
  redShift: 0,
  greenShift: 8,
  blueShift: 16,
}

/** A viewer. */
export class TestViewer {
  readonly picture = new Picture()
  /** What the server calls the machine. */
  name = ''
  /** Whether the server takes QEMU's extended key events. */
  hasQemuKeys = false
  /** The status of the last ExtendedDesktopSize that answers this viewer's own wish. */
  sizeAnswer: number | undefined
  readonly #connection: Connection
  readonly reader: QueueReader
  readonly #decoders: Map<number, Decoder>
  readonly #queue: ReceiveQueue

  private constructor(connection: Connection, decoders: Map<number, Decoder>, queue: ReceiveQueue) {
    this.#connection = connection
    this.reader = new QueueReader(connection, queue)
    this.#decoders = decoders
    this.#queue = queue
  }

  /** A viewer that has not said anything. */
  static async create(connection: Connection): Promise<TestViewer> {
    const { decoders, queue } = await loadDecoders()
    return new TestViewer(connection, decoders, queue)
  }

  /** A viewer that has gone through a handshake without a password, with RFB 3.8. */
  static async open(connection: Connection): Promise<TestViewer> {
    const viewer = await TestViewer.create(connection)
    await viewer.reader.bytes(12)
    await viewer.send(new TextEncoder().encode('RFB 003.008\n'))
    await viewer.reader.bytes(2)
    await viewer.send([1])
    await viewer.reader.bytes(4)
    await viewer.begin()
    return viewer
  }

  /** ClientInit and ServerInit. */
  async begin(): Promise<void> {
    await this.send([1])
    const { reader } = this
    await reader.need(24)
    this.picture.resize(reader.u16(), reader.u16())
    await reader.bytes(16)
    await reader.need(4)
    this.name = new TextDecoder().decode(await reader.bytes(reader.u32()))
  }

  /** Sends bytes. */
  send(bytes: ArrayLike<number> | ByteWriter): Promise<void> {
    return this.#connection.write(bytes instanceof ByteWriter ? bytes.take() : Uint8Array.from(bytes))
  }

  /** Goes. */
  close(): void {
    this.#connection.close()
  }

  /** SetPixelFormat. */
  setPixelFormat(format: PixelFormatFields): Promise<void> {
    const writer = new ByteWriter().u8(0).u8(0).u16(0)
    writePixelFormat(writer, format)
    return this.send(writer)
  }

  /** SetEncodings. */
  setEncodings(...encodings: number[]): Promise<void> {
    const writer = new ByteWriter().u8(2).u8(0).u16(encodings.length)
    for (const encoding of encodings) writer.u32(encoding >>> 0)
    return this.send(writer)
  }

  /** FramebufferUpdateRequest for all of the screen, or a part. */
  request(
    isIncremental: boolean,
    [x, y, width, height] = [0, 0, this.picture.width, this.picture.height],
  ): Promise<void> {
    const writer = new ByteWriter().u8(3).u8(isIncremental ? 1 : 0)
    return this.send(writer.u16(x).u16(y).u16(width).u16(height))
  }

  /** SetDesktopSize with one screen. */
  setDesktopSize(width: number, height: number): Promise<void> {
    const layout = new ByteWriter().u32(1).u16(0).u16(0).u16(width).u16(height).u32(0)
    const message = new ByteWriter().u8(251).u8(0).u16(width).u16(height)
    return this.send(message.u8(1).u8(0).bytes(layout.take()))
  }

  /** KeyEvent. */
  key(isDown: boolean, keysym: number): Promise<void> {
    return this.send(
      new ByteWriter()
        .u8(4)
        .u8(isDown ? 1 : 0)
        .u16(0)
        .u32(keysym),
    )
  }

  /** PointerEvent. */
  pointer(mask: number, x: number, y: number): Promise<void> {
    return this.send(new ByteWriter().u8(5).u8(mask).u16(x).u16(y))
  }

  /** Reads one message of the server; the picture is what it says then. */
  async event(): Promise<Event> {
    const { reader } = this
    const before = reader.received - reader.available
    await reader.need(1)
    const type = reader.u8()
    switch (type) {
      case SERVER_MESSAGE.framebufferUpdate: {
        await reader.need(3)
        reader.u8()
        const encodings: number[] = []
        for (let left = reader.u16(); left > 0; left--) encodings.push(await this.#rectangle())
        return { type: 'update', encodings, bytes: reader.received - reader.available - before }
      }
      case SERVER_MESSAGE.serverFence: {
        await reader.need(8)
        reader.u8()
        reader.u16()
        const flags = reader.u32()
        return { type: 'fence', flags, payload: await reader.bytes(reader.u8()) }
      }
      case SERVER_MESSAGE.endOfContinuousUpdates:
        return { type: 'end of continuous updates' }
      case SERVER_MESSAGE.setColourMapEntries: {
        await reader.need(5)
        reader.u8()
        reader.u16()
        const count = reader.u16()
        await reader.need(count * 6)
        return { type: 'colours', colours: Array.from({ length: count * 3 }, () => reader.u16()) }
      }
      default:
        throw new Error(`the server sent message ${type}`)
    }
  }

  /** Reads messages until an update has come. */
  async update(): Promise<Event & { type: 'update' }> {
    for (;;) {
      const event = await this.event()
      if (event.type === 'update') return event
    }
  }

  async #rectangle(): Promise<number> {
    const { reader, picture } = this
    await reader.need(12)
    const [x, y, width, height] = [reader.u16(), reader.u16(), reader.u16(), reader.u16()]
    const encoding = reader.s32()
    switch (encoding) {
      case ENCODING.cursor:
        await reader.bytes(width * height * 4 + Math.floor((width + 7) / 8) * height)
        return encoding
      case ENCODING.qemuExtendedKeyEvent:
        this.hasQemuKeys = true
        return encoding
      case ENCODING.extendedDesktopSize: {
        await reader.need(4)
        const screens = reader.u8()
        await reader.bytes(3 + screens * 16)
        // The server may tell of the screen's size in the same update, before the answer or behind it.
        if (x === SIZE_REASON.client) this.sizeAnswer = y
        if (y === SIZE_STATUS.ok) picture.resize(width, height)
        return encoding
      }
      case ENCODING.desktopSize:
        picture.resize(width, height)
        return encoding
    }
    const decoder = this.#decoders.get(encoding)
    if (!decoder) throw new Error(`the server sent encoding ${encoding}`)
    if (x + width > picture.width || y + height > picture.height)
      throw new Error(`rectangle ${width}x${height} at ${x},${y} lies outside of ${picture.width}x${picture.height}`)
    while (!decoder.decodeRect(x, y, width, height, this.#queue, picture, 24)) await reader.more()
    return encoding
  }
}

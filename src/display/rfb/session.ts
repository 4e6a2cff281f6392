/** One viewer, once it may see the screen: its messages, and what it is sent. RFC 6143 sections 7.3 to 7.8 */
import type { Keyboard, Mouse } from '../../machine/input.ts'
import type { Screen } from '../../machine/screen.ts'
import { Damage, intersect, type Rectangle } from '../damage.ts'
import type { ScreenFollower, Viewer } from '../follower.ts'
import type { Copy } from '../scroll.ts'
import type { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import type { Connection } from './connection.ts'
import { writeCursor } from './cursor.ts'
import { type DeflateOnce, type MakeDeflater, writeHeader } from './encodings/encoder.ts'
import { KeyboardInput } from './keyboard-input.ts'
import {
  type PixelFormatFields,
  readPixelFormat,
  SERVER_FORMAT,
  writeColourMap,
  writePixelFormat,
} from './pixel-format.ts'
import { PointerInput } from './pointer-input.ts'
import { CLIENT_MESSAGE, ENCODING, FENCE, ProtocolError, SERVER_MESSAGE, SIZE_REASON, SIZE_STATUS } from './protocol.ts'
import { RateLimit } from './rate-limit.ts'
import type { SendBuffers } from './send-buffers.ts'
import { MOST_PIXELS, UpdateWriter } from './update-writer.ts'

/** What a viewer sees and moves. */
export interface Console {
  readonly screen: Pick<Screen, 'preferSize'>
  readonly follower: ScreenFollower
  readonly keyboard: Keyboard
  readonly mouse: Mouse
  /** What viewers call it. */
  readonly name: string
  readonly makeDeflater: MakeDeflater
  readonly deflateOnce: DeflateOnce
  readonly buffers: SendBuffers
  /** One sentence for whoever runs the server. */
  log(sentence: string): void
}

/** The most bytes of a clipboard that are kept; what is longer is cut off. */
const MOST_CLIPBOARD = 64 * 1024

/** Bytes of encoded rectangles that are collected before they are sent. */
const CHUNK = 256 * 1024

/** Updates that may be on their way to a client that answers fences. */
const MOST_IN_FLIGHT = 3

/** Answers that may wait for an update to end. */
const MOST_ANSWERS = 64

/** The most encodings that a client may list. */
const MOST_ENCODINGS = 1024

/** Pseudo-rectangles that are to go out before the next picture. */
type Announcement = 'extendedDesktopSize' | 'desktopSize' | 'cursor' | 'qemuKeys'

/** One viewer. */
export class Session implements Viewer {
  readonly #connection: Connection
  readonly #reader: ByteReader
  readonly #console: Console
  readonly #writer: UpdateWriter
  readonly #keyboard: KeyboardInput
  readonly #pointer: PointerInput
  readonly #limit = new RateLimit(1000, 500)
  readonly #fullLimit = new RateLimit(30, 10)
  #encodings: ReadonlySet<number> = new Set()
  #damage: Damage
  /** The size that the client counts on. */
  #width: number
  #height: number
  /** What the client has asked for. */
  #requested: Rectangle | undefined
  /** What the client gets without asking. */
  #continuous: Rectangle | undefined
  #announcements = new Set<Announcement>()
  /** The answer to a client's wish for another size, which is owed. */
  #sizeAnswer: number | undefined
  #answers: Uint8Array[] = []
  #isFenceTold = false
  #isContinuousTold = false
  #inFlight = 0
  /** What has changed lies outside of what the client asks for. */
  #isElsewhere = false
  #isClosed = false
  /** The client has just been told of another size. */
  #isSizeNew = false
  #wake: (() => void) | undefined
  #clipboard = ''
  #isTyping = false
  /** Sizes that the client is to hear of, and the format that it will be in when this update is made. */
  #nextFormat: PixelFormatFields | undefined

  /** @param reader what is left of the handshake's reader */
  constructor(connection: Connection, reader: ByteReader, console: Console) {
    this.#connection = connection
    this.#reader = reader
    this.#console = console
    this.#writer = new UpdateWriter(console.makeDeflater, console.deflateOnce, connection.isLocal)
    this.#keyboard = new KeyboardInput(console.keyboard, {
      paste: () => this.#type(this.#clipboard),
      type: text => this.#type(text),
    })
    this.#pointer = new PointerInput(console.mouse)
    const { follower } = console
    this.#width = follower.width
    this.#height = follower.height
    this.#damage = new Damage(follower.width, follower.height)
  }

  // As a viewer of the follower

  get waits(): boolean {
    const hasNothing = !this.#damage.any || this.#isElsewhere || !this.#console.follower.isFresh
    return !this.#isClosed && hasNothing && this.#mayUpdate
  }

  get copies(): boolean {
    return this.#encodings.has(ENCODING.copyRect)
  }

  resized(): void {
    const { width, height } = this.#console.follower
    this.#damage = new Damage(width, height)
    this.#isElsewhere = false
    if (this.#encodings.has(ENCODING.extendedDesktopSize)) this.#announcements.add('extendedDesktopSize')
    else if (this.#encodings.has(ENCODING.desktopSize)) this.#announcements.add('desktopSize')
    this.#wake?.()
  }

  changed(touched: Uint8Array, copy: Copy | undefined): void {
    this.#damage.add(touched, copy, this.copies)
    this.#isElsewhere = false
    this.#wake?.()
  }

  ended(): void {
    this.#connection.close()
  }

  /**
   * Serves the viewer until it leaves.
   * @throws ProtocolError, Gone or what the connection throws
   */
  async run(): Promise<void> {
    const { follower, name } = this.#console
    follower.add(this)
    try {
      const hello = new ByteWriter().u16(this.#width).u16(this.#height)
      writePixelFormat(hello, SERVER_FORMAT)
      await this.#connection.write(hello.text(name).take())
      const sending = this.#send()
      sending.catch(() => {})
      await Promise.race([this.#receive(), sending])
    } finally {
      this.#isClosed = true
      this.#wake?.()
      follower.delete(this)
      this.#keyboard.releaseAll()
      this.#pointer.releaseAll()
      this.#connection.close()
      this.#writer.close()
    }
  }

  // What the client says

  async #receive(): Promise<void> {
    const reader = this.#reader
    for (;;) {
      await reader.need(1)
      const type = reader.u8()
      switch (type) {
        case CLIENT_MESSAGE.setPixelFormat:
          await reader.need(19)
          reader.u8()
          reader.u16()
          this.#nextFormat = readPixelFormat(reader)
          break
        case CLIENT_MESSAGE.setEncodings:
          await this.#setEncodings()
          break
        case CLIENT_MESSAGE.framebufferUpdateRequest:
          await this.#updateRequest()
          break
        case CLIENT_MESSAGE.keyEvent: {
          await reader.need(7)
          const isDown = reader.u8() !== 0
          reader.u16()
          this.#keyboard.keysym(isDown, reader.u32())
          await this.#limit.take()
          break
        }
        case CLIENT_MESSAGE.pointerEvent: {
          await reader.need(5)
          const mask = reader.u8()
          this.#pointer.event(mask, reader.u16(), reader.u16(), this.#damage.width, this.#damage.height)
          await this.#limit.take()
          break
        }
        case CLIENT_MESSAGE.clientCutText:
          await this.#cutText()
          break
        case CLIENT_MESSAGE.enableContinuousUpdates:
          await reader.need(9)
          this.#setContinuous(reader.u8() !== 0, readRectangle(reader))
          break
        case CLIENT_MESSAGE.clientFence:
          await this.#fence()
          break
        case CLIENT_MESSAGE.setDesktopSize: {
          await reader.need(7)
          reader.u8()
          const [width, height] = [reader.u16(), reader.u16()]
          const screens = reader.u8()
          reader.u8()
          await reader.skip(screens * 16)
          const { screen } = this.#console
          screen.preferSize?.(width, height)
          this.#sizeAnswer = screen.preferSize ? SIZE_STATUS.forwarded : SIZE_STATUS.prohibited
          this.#wake?.()
          await this.#limit.take()
          break
        }
        case CLIENT_MESSAGE.qemu: {
          await reader.need(1)
          const submessage = reader.u8()
          if (submessage !== 0) throw new ProtocolError(`it sent QEMU's message ${submessage}, which was not offered`)
          await reader.need(10)
          const isDown = reader.u16() !== 0
          const keysym = reader.u32()
          this.#keyboard.scanCode(isDown, reader.u32(), keysym)
          await this.#limit.take()
          break
        }
        default:
          throw new ProtocolError(`it sent message ${type}, which does not exist`)
      }
    }
  }

  async #setEncodings(): Promise<void> {
    const reader = this.#reader
    await reader.need(3)
    reader.u8()
    const count = reader.u16()
    if (count > MOST_ENCODINGS) throw new ProtocolError(`it lists ${count} encodings`)
    await reader.need(count * 4)
    const encodings = Array.from({ length: count }, () => reader.s32())
    const before = this.#encodings
    this.#encodings = new Set(encodings)
    this.#writer.setEncodings(encodings)
    const isNew = (encoding: number) => this.#encodings.has(encoding) && !before.has(encoding)
    if (isNew(ENCODING.extendedDesktopSize)) this.#announcements.add('extendedDesktopSize')
    else if (this.#isOtherSize && this.#encodings.has(ENCODING.desktopSize)) this.#announcements.add('desktopSize')
    if (isNew(ENCODING.cursor)) this.#announcements.add('cursor')
    if (isNew(ENCODING.qemuExtendedKeyEvent)) this.#announcements.add('qemuKeys')
    if (this.#encodings.has(ENCODING.fence) && !this.#isFenceTold) {
      this.#isFenceTold = true
      this.#answer(fence(FENCE.request, new Uint8Array(0)))
    }
    if (this.#encodings.has(ENCODING.continuousUpdates) && !this.#isContinuousTold) {
      this.#isContinuousTold = true
      this.#answer(Uint8Array.of(SERVER_MESSAGE.endOfContinuousUpdates))
    }
    this.#wake?.()
  }

  async #updateRequest(): Promise<void> {
    const reader = this.#reader
    await reader.need(9)
    const isIncremental = reader.u8() !== 0
    const area = readRectangle(reader)
    if (!isIncremental) {
      await this.#fullLimit.take()
      this.#damage.addArea(area)
    }
    this.#isElsewhere = false
    this.#requested = this.#requested ? around(this.#requested, area) : area
    this.#wake?.()
    this.#console.follower.notice()
  }

  #setContinuous(isOn: boolean, area: Rectangle): void {
    this.#isElsewhere = false
    if (isOn) {
      this.#continuous = area
      this.#inFlight = 0
    } else if (this.#continuous) {
      this.#continuous = undefined
      this.#answer(Uint8Array.of(SERVER_MESSAGE.endOfContinuousUpdates))
    }
    this.#wake?.()
    this.#console.follower.notice()
  }

  async #cutText(): Promise<void> {
    const reader = this.#reader
    await reader.need(7)
    reader.u8()
    reader.u16()
    const length = reader.u32()
    const kept = Math.min(length, MOST_CLIPBOARD)
    this.#clipboard = new TextDecoder('latin1').decode(await reader.bytes(kept))
    await reader.skip(length - kept)
  }

  async #fence(): Promise<void> {
    const reader = this.#reader
    await reader.need(8)
    reader.u8()
    reader.u16()
    const flags = reader.u32()
    const length = reader.u8()
    if (length > 64) throw new ProtocolError(`it sent a fence of ${length} bytes`)
    const payload = await reader.bytes(length)
    if (flags & FENCE.request) {
      const known = FENCE.blockBefore | FENCE.blockAfter | FENCE.syncNext
      await this.#limit.take()
      this.#answer(fence(flags & known, payload))
    } else if (length === 1 && this.#inFlight > 0) {
      this.#inFlight--
      this.#wake?.()
      this.#console.follower.notice()
    }
  }

  /** Types for the viewer's user; one text at a time. */
  #type(text: string): void {
    if (text === '' || this.#isTyping) return
    this.#isTyping = true
    this.#console.keyboard
      .type(text.replaceAll('\r\n', '\n'))
      .catch(error => this.#console.log(`a viewer's text could not be typed: ${(error as Error).message}`))
      .finally(() => {
        this.#isTyping = false
      })
  }

  // What the client is sent

  get #isOtherSize(): boolean {
    return this.#width !== this.#damage.width || this.#height !== this.#damage.height
  }

  /** Whether the client would take a picture now. */
  get #mayUpdate(): boolean {
    if (this.#continuous && this.#inFlight < MOST_IN_FLIGHT) return true
    return this.#requested !== undefined
  }

  /** Sends at the end of the update under way. */
  #answer(message: Uint8Array): void {
    if (this.#answers.length >= MOST_ANSWERS) throw new ProtocolError('it asks for more than it takes')
    this.#answers.push(message)
    this.#wake?.()
  }

  async #send(): Promise<void> {
    while (!this.#isClosed) {
      const answer = this.#answers.shift()
      if (answer) await this.#connection.write(answer)
      else if (this.#mayUpdate && this.#hasNews) await this.#update()
      else
        await new Promise<void>(resolve => {
          this.#wake = resolve
        })
    }
  }

  get #hasNews(): boolean {
    if (this.#announcements.size > 0 || this.#sizeAnswer !== undefined) return true
    return this.#damage.any && !this.#isElsewhere && this.#console.follower.isFresh
  }

  async #update(): Promise<void> {
    const { follower } = this.#console
    const writer = new ByteWriter(4096, this.#console.buffers)
    if (this.#nextFormat) {
      this.#writer.setFormat(this.#nextFormat)
      if (!this.#nextFormat.trueColour) {
        writer.u8(SERVER_MESSAGE.setColourMapEntries).u8(0).u16(0).u16(256)
        writeColourMap(writer)
      }
      this.#nextFormat = undefined
    }
    const asked = this.#requested
    const always = this.#continuous
    this.#requested = undefined
    if (this.#announce(writer)) {
      // Nothing else is in the update with a new size; the client asks for the picture in that size.
      if (this.#isSizeNew) {
        this.#isSizeNew = false
        this.#damage.addArea({ x: 0, y: 0, width: this.#width, height: this.#height })
      } else this.#requested = asked
      await this.#connection.write(writer.take())
      return
    }
    const area = always && asked ? around(always, asked) : (always ?? asked)!
    const known = { x: 0, y: 0, width: this.#width, height: this.#height }
    const { copies, rectangles } = this.#damage.take(area, MOST_PIXELS)
    const shown = rectangles.map(part => intersect(part, known)).filter(({ width, height }) => width > 0 && height > 0)
    const moved = copies.filter(copy => copy.x + copy.width <= this.#width && copy.y + copy.height <= this.#height)
    if (shown.length === 0 && moved.length === 0) {
      this.#requested = asked
      this.#isElsewhere = true
      follower.notice()
      return
    }
    // Above this a count is taken for "until LastRect"; there are never so many.
    writer
      .u8(SERVER_MESSAGE.framebufferUpdate)
      .u8(0)
      .u16(moved.length + shown.length)
    for (const copy of moved) {
      writeHeader(writer, copy, ENCODING.copyRect)
      writer.u16(copy.x).u16(copy.y - copy.dy)
    }
    for (const rectangle of shown) {
      await this.#writer.write(follower, rectangle, writer)
      if (writer.length >= CHUNK) await this.#flush(writer)
      if (this.#isClosed) return
    }
    if (always && this.#encodings.has(ENCODING.fence)) {
      this.#inFlight++
      writer.bytes(fence(FENCE.request | FENCE.blockBefore, Uint8Array.of(1)))
    }
    await this.#flush(writer)
    follower.notice()
  }

  /** Sends what was written; a large buffer is for others when it has left. */
  #flush(writer: ByteWriter): Promise<void> {
    const bytes = writer.take()
    const { buffers } = this.#console
    return this.#connection.write(bytes, buffers.has(bytes) ? () => buffers.give(bytes) : undefined)
  }

  /** Writes an update of pseudo-rectangles, if any are due. @returns whether it did */
  #announce(writer: ByteWriter): boolean {
    const due = this.#announcements
    if (due.size === 0 && this.#sizeAnswer === undefined) return false
    writer
      .u8(SERVER_MESSAGE.framebufferUpdate)
      .u8(0)
      .u16(due.size + (this.#sizeAnswer === undefined ? 0 : 1))
    if (due.has('cursor')) writeCursor(writer, this.#writer.format)
    if (due.has('qemuKeys')) writeHeader(writer, NOWHERE, ENCODING.qemuExtendedKeyEvent)
    if (this.#sizeAnswer !== undefined) this.#writeExtendedSize(writer, SIZE_REASON.client, this.#sizeAnswer)
    if (due.has('extendedDesktopSize') || due.has('desktopSize')) {
      this.#isSizeNew = this.#isOtherSize
      this.#width = this.#damage.width
      this.#height = this.#damage.height
      if (due.has('extendedDesktopSize')) this.#writeExtendedSize(writer, SIZE_REASON.server, SIZE_STATUS.ok)
      else writeHeader(writer, { x: 0, y: 0, width: this.#width, height: this.#height }, ENCODING.desktopSize)
    }
    this.#announcements = new Set()
    this.#sizeAnswer = undefined
    return true
  }

  /** ExtendedDesktopSize with one screen. rfbproto.rst */
  #writeExtendedSize(writer: ByteWriter, reason: number, status: number): void {
    const width = this.#width
    const height = this.#height
    writeHeader(writer, { x: reason, y: status, width, height }, ENCODING.extendedDesktopSize)
    writer.u8(1).u8(0).u16(0)
    writer.u32(1).u16(0).u16(0).u16(width).u16(height).u32(0)
  }
}

const NOWHERE = { x: 0, y: 0, width: 0, height: 0 }

/** A fence of the server's. */
function fence(flags: number, payload: Uint8Array): Uint8Array {
  const writer = new ByteWriter().u8(SERVER_MESSAGE.serverFence).u8(0).u16(0)
  return writer.u32(flags).u8(payload.length).bytes(payload).take()
}

function readRectangle(reader: ByteReader): Rectangle {
  return { x: reader.u16(), y: reader.u16(), width: reader.u16(), height: reader.u16() }
}

/** The smallest rectangle with both. */
function around(a: Rectangle, b: Rectangle): Rectangle {
  const x = Math.min(a.x, b.x)
  const y = Math.min(a.y, b.y)
  return {
    x,
    y,
    width: Math.max(a.x + a.width, b.x + b.width) - x,
    height: Math.max(a.y + a.height, b.y + b.height) - y,
  }
}

import type { Bus, Timer } from '../bus.ts'
import { edid, PREFERRED_SIZE } from '../vga/edid.ts'
import type { Picture, PictureArea } from '../vga/picture.ts'
import type { VirtioDevice, VirtioTransport } from './device.ts'
import {
  GPU_CMD,
  GPU_COMMAND_BYTES,
  GPU_DISPLAY_BYTES,
  GPU_EDID_BYTES,
  GPU_HEADER_BYTES,
  GPU_MEM_ENTRY_BYTES,
  GPU_MOST_SCANOUTS,
  GPU_RESP,
  GpuCommand,
  isGpuFormat,
} from './gpu-protocol.ts'
import { GPU_MOST_ENTRIES, type GpuFailure, type GpuResource, GpuResources, isWithin } from './gpu-resources.ts'
import { type GpuCursor, GpuScanout, type Scanout } from './gpu-scanout.ts'
import type { Chain } from './virtqueue.ts'

const TYPE_GPU = 16
/** A display controller that is no VGA. */
const CLASS_DISPLAY_OTHER = 0x038000
const VIRTIO_GPU_F_EDID = 1
const CONTROL = 0
const CURSOR = 1
const CONTROL_SIZE = 256
const CURSOR_SIZE = 16

/** The configuration (5.7.4): events that happened, those that the driver has seen, scanouts, sets of capabilities. */
const CONFIG_BYTES = 16
const CONFIG_EVENTS_CLEAR = 4
const EVENT_DISPLAY = 1

/** Bytes that are moved without a break: a guest must not stop its machine's thread. */
const BURST_BYTES = 32 << 20
/** The size of a cursor's picture, each way. */
const CURSOR_PIXELS = 64
/** Sizes that a window may ask for, and what they are a multiple of, as timings of monitors are. */
const LEAST_WINDOW = 320
const MOST_WINDOW = 4088
const WINDOW_STEP = 8

/** What went wrong, as an answer says it. */
const FAILURES: Record<GpuFailure, number> = {
  memory: GPU_RESP.ERR_OUT_OF_MEMORY,
  resource: GPU_RESP.ERR_INVALID_RESOURCE_ID,
  parameter: GPU_RESP.ERR_INVALID_PARAMETER,
  backing: GPU_RESP.ERR_UNSPEC,
}

/** How large the structures of commands are; a shorter one is refused. */
const SIZES: Readonly<Record<number, number>> = {
  [GPU_CMD.GET_DISPLAY_INFO]: 24,
  [GPU_CMD.RESOURCE_CREATE_2D]: 40,
  [GPU_CMD.RESOURCE_UNREF]: 28,
  [GPU_CMD.SET_SCANOUT]: 48,
  [GPU_CMD.RESOURCE_FLUSH]: 44,
  [GPU_CMD.TRANSFER_TO_HOST_2D]: 52,
  [GPU_CMD.RESOURCE_ATTACH_BACKING]: 32,
  [GPU_CMD.RESOURCE_DETACH_BACKING]: 28,
  [GPU_CMD.GET_EDID]: 28,
  [GPU_CMD.UPDATE_CURSOR]: 52,
  [GPU_CMD.MOVE_CURSOR]: 36,
}

/** What of the device is saved besides its queues. */
export interface GpuState {
  resources: GpuResource[]
  scanout: Scanout | undefined
  /** The driver has shown something since the device's reset. */
  enabled: boolean
  cursor: GpuCursor
  /** Events that the driver has not seen, and the size that the monitor prefers. */
  events: number
  window: { width: number; height: number }
}

const noCursor = (): GpuCursor => ({ x: 0, y: 0, image: undefined })

/**
 * A virtio GPU with one scanout and a cursor, without 3D (Virtual I/O Device 1.2, chapter 5.7). The guest draws in its own memory and has
 * the device copy what it changed; what is shown is the device's copy.
 */
export class VirtioGpu implements VirtioDevice {
  readonly name = 'virtio-gpu'
  readonly version = 1
  readonly type = TYPE_GPU
  readonly classCode: number
  readonly features = [VIRTIO_GPU_F_EDID]
  readonly queueSizes = [CONTROL_SIZE, CURSOR_SIZE]
  readonly #bus: Bus
  readonly #resources: GpuResources
  readonly #shown = new GpuScanout()
  /** Commands go on when it fires. */
  readonly #rest: Timer
  #resting = false
  /** Bytes moved, less one for each nanosecond since then, and when that was counted. */
  #burst = 0
  #counted = 0
  #transport: VirtioTransport | undefined
  #enabled = false
  #events = 0
  #window = { ...PREFERRED_SIZE }

  /** @param classCode of the function that it is part of, where that is more than this */
  constructor(bus: Bus, classCode = CLASS_DISPLAY_OTHER) {
    this.#bus = bus
    this.classCode = classCode
    this.#resources = new GpuResources(bus.memory)
    this.#rest = bus.clock.timer(() => {
      this.#resting = false
      if (this.#transport?.running) this.notify(CONTROL)
    })
  }

  get state(): GpuState {
    return {
      resources: this.#resources.state,
      scanout: this.#shown.scanout,
      enabled: this.#enabled,
      cursor: this.#shown.cursor,
      events: this.#events,
      window: this.#window,
    }
  }
  set state(state: GpuState) {
    this.#resources.state = state.resources
    this.#shown.show(state.scanout)
    this.#shown.setCursor(state.cursor)
    this.#enabled = state.enabled
    this.#events = state.events
    this.#window = state.window
  }

  attach(transport: VirtioTransport): void {
    this.#transport = transport
  }

  /** The driver shows something, or has since the device's reset: the screen is this device's. */
  get enabled(): boolean {
    return this.#enabled
  }

  /** Draws what has changed into a picture. @param everything whether somebody else drew there meanwhile */
  update(picture: Picture, everything: boolean): PictureArea[] {
    const { scanout } = this.#shown
    return this.#shown.update(picture, scanout && this.#resources.get(scanout.resource), everything)
  }

  /** Whoever looks would like so many pixels: the driver is told of another monitor. */
  resize(width: number, height: number): void {
    const fit = (pixels: number) =>
      Math.min(MOST_WINDOW, Math.max(LEAST_WINDOW, Math.floor(pixels / WINDOW_STEP) * WINDOW_STEP)) || LEAST_WINDOW
    const window = { width: fit(width), height: fit(height) }
    if (window.width === this.#window.width && window.height === this.#window.height) return
    this.#window = window
    this.#events |= EVENT_DISPLAY
    this.#transport?.configurationChanged()
  }

  configuration(): Uint8Array {
    const view = new DataView(new ArrayBuffer(CONFIG_BYTES))
    view.setUint32(0, this.#events, true)
    view.setUint32(8, 1, true)
    return new Uint8Array(view.buffer)
  }

  writeConfiguration(offset: number, bytes: Uint8Array): void {
    if (offset === CONFIG_EVENTS_CLEAR) this.#events &= ~bytes[0]
  }

  start(): void {
    this.notify(CONTROL)
    this.notify(CURSOR)
  }

  notify(index: number): void {
    if (index === CONTROL && this.#resting) return
    const now = this.#bus.clock.now()
    this.#burst = Math.max(0, this.#burst - (now - this.#counted))
    this.#counted = now
    const queue = this.#transport!.queue(index)
    for (let count = 0; count < queue.maximum; count++) {
      const chain = queue.pop()
      if (chain === undefined) break
      const answer = this.#execute(index, chain)
      if (answer) chain.write(new Uint8Array(answer.buffer))
      queue.push(chain)
      if (index === CONTROL && this.#burst > BURST_BYTES) {
        this.#resting = true
        this.#rest.arm(now + this.#burst)
        break
      }
    }
    queue.signal()
  }

  reset(): void {
    this.#resources.reset()
    this.#shown.show(undefined)
    this.#shown.setCursor(noCursor())
    this.#enabled = false
    this.#events = 0
    this.#rest.cancel()
    this.#resting = false
    this.#burst = 0
  }

  /** Called after {@link state} was replaced: commands that waited for a rest go on. */
  restored(): void {
    this.#rest.cancel()
    this.#resting = false
    this.#burst = 0
    if (this.#transport?.running) this.notify(CONTROL)
  }

  #execute(queue: number, chain: Chain): DataView {
    const command = new GpuCommand(chain.read(0, GPU_COMMAND_BYTES))
    const { type } = command
    const size = SIZES[type]
    const isCursor = type === GPU_CMD.UPDATE_CURSOR || type === GPU_CMD.MOVE_CURSOR
    if (size === undefined || command.length < size || isCursor !== (queue === CURSOR)) {
      this.#bus.logOnce(
        `${this.name} command ${queue} ${type >>> 8 > 3 ? 'unknown' : type}`,
        `${this.name}: command 0x${type.toString(16)} of ${command.length} bytes in queue ${queue} is refused`,
      )
      return command.answer(GPU_RESP.ERR_UNSPEC)
    }
    switch (type) {
      case GPU_CMD.GET_DISPLAY_INFO:
        return this.#displayInfo(command)
      case GPU_CMD.GET_EDID:
        return this.#edid(command)
      case GPU_CMD.UPDATE_CURSOR:
      case GPU_CMD.MOVE_CURSOR:
        return command.answer(this.#cursor(command))
      case GPU_CMD.SET_SCANOUT:
        return command.answer(this.#setScanout(command))
      default: {
        const failure = this.#onResource(command, chain)
        return command.answer(failure ? FAILURES[failure] : GPU_RESP.OK_NODATA)
      }
    }
  }

  #onResource(command: GpuCommand, chain: Chain): GpuFailure | undefined {
    const resources = this.#resources
    switch (command.type) {
      case GPU_CMD.RESOURCE_CREATE_2D: {
        const format = command.u32(28)
        if (!isGpuFormat(format)) return 'parameter'
        return resources.create(command.u32(24), format, command.u32(32), command.u32(36))
      }
      case GPU_CMD.RESOURCE_UNREF: {
        const id = command.u32(24)
        if (this.#shown.scanout?.resource === id) this.#shown.show(undefined)
        return resources.delete(id)
      }
      case GPU_CMD.RESOURCE_ATTACH_BACKING: {
        const length = command.u32(28) * GPU_MEM_ENTRY_BYTES
        if (length > GPU_MOST_ENTRIES * GPU_MEM_ENTRY_BYTES) return 'memory'
        const bytes = chain.read(32, length)
        this.#burst += length
        if (length === 0 || bytes.length < length) return 'parameter'
        return resources.attach(command.u32(24), new DataView(bytes.buffer, bytes.byteOffset, length))
      }
      case GPU_CMD.RESOURCE_DETACH_BACKING:
        return resources.detach(command.u32(24))
      case GPU_CMD.TRANSFER_TO_HOST_2D: {
        const { rectangle } = command
        const resource = resources.get(command.u32(48))
        if (resource && isWithin(rectangle, resource)) {
          this.#burst += rectangle.width * rectangle.height * 4
          // The first one is what it takes to have pixels at all.
          if (!resource.pixels) this.#burst += resource.width * resource.height * 4
        }
        return resources.transfer(command.u32(48), rectangle, command.u64(40))
      }
      default: {
        const resource = resources.get(command.u32(40))
        if (!resource) return 'resource'
        if (!isWithin(command.rectangle, resource)) return 'parameter'
        this.#shown.changed(resource.id, command.rectangle)
        return undefined
      }
    }
  }

  #setScanout(command: GpuCommand): number {
    const id = command.u32(44)
    if (command.u32(40) !== 0) return GPU_RESP.ERR_INVALID_SCANOUT_ID
    if (id === 0) {
      this.#shown.show(undefined)
      return GPU_RESP.OK_NODATA
    }
    const resource = this.#resources.get(id)
    if (!resource) return GPU_RESP.ERR_INVALID_RESOURCE_ID
    const { rectangle } = command
    if (!isWithin(rectangle, resource)) return GPU_RESP.ERR_INVALID_PARAMETER
    this.#shown.show({ resource: id, ...rectangle })
    this.#enabled = true
    return GPU_RESP.OK_NODATA
  }

  #cursor(command: GpuCommand): number {
    if (command.u32(24) !== 0) return GPU_RESP.ERR_INVALID_SCANOUT_ID
    const [x, y] = [command.i32(28), command.i32(32)]
    if (command.type === GPU_CMD.MOVE_CURSOR) {
      this.#shown.setCursor({ ...this.#shown.cursor, x, y })
      return GPU_RESP.OK_NODATA
    }
    const id = command.u32(40)
    const resource = this.#resources.get(id)
    if (id !== 0 && !resource) return GPU_RESP.ERR_INVALID_RESOURCE_ID
    if (resource && (resource.width !== CURSOR_PIXELS || resource.height !== CURSOR_PIXELS))
      return GPU_RESP.ERR_INVALID_PARAMETER
    const image = resource?.pixels && { format: resource.format, pixels: resource.pixels.slice() }
    this.#shown.setCursor({ x, y, image })
    return GPU_RESP.OK_NODATA
  }

  #displayInfo(command: GpuCommand): DataView {
    const answer = command.answer(GPU_RESP.OK_DISPLAY_INFO, GPU_MOST_SCANOUTS * GPU_DISPLAY_BYTES)
    answer.setUint32(GPU_HEADER_BYTES + 8, this.#window.width, true)
    answer.setUint32(GPU_HEADER_BYTES + 12, this.#window.height, true)
    answer.setUint32(GPU_HEADER_BYTES + 16, 1, true)
    return answer
  }

  #edid(command: GpuCommand): DataView {
    if (command.u32(24) !== 0) return command.answer(GPU_RESP.ERR_INVALID_SCANOUT_ID)
    const bytes = edid(this.#window)
    const answer = command.answer(GPU_RESP.OK_EDID, 8 + GPU_EDID_BYTES)
    answer.setUint32(GPU_HEADER_BYTES, bytes.length, true)
    new Uint8Array(answer.buffer).set(bytes, GPU_HEADER_BYTES + 8)
    return answer
  }
}

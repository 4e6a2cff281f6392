import type { Bus, Device, GuestMemory } from './bus.ts'
import { attachBytes } from './registers.ts'

/** The two controllers (Intel 8237A data sheet) as the PC/AT wires them: bytes on channels 0–3, words on 5–7. */
const FIRST = 0x00
const SECOND = 0xc0
/** Page registers: bits 16–23 of a channel's address. */
const PAGES = 0x81
const PAGE_COUNT = 15
/** The channel that each page register from {@link PAGES} on belongs to, or -1 for those that only remember. */
const PAGE_CHANNEL = [2, 3, 1, -1, -1, -1, 0, -1, 6, 7, 5, -1, -1, -1, 4]

/** Registers of a controller behind the four pairs of address and count. */
const COMMAND_STATUS = 8
const REQUEST = 9
const SINGLE_MASK = 10
const MODE = 11
const CLEAR_FLIP_FLOP = 12
const MASTER_CLEAR = 13
const CLEAR_MASK = 14
const WRITE_MASK = 15

const COMMAND_MEMORY_TO_MEMORY = 1
const COMMAND_DISABLE = 4
const MODE_AUTO_INITIALISE = 0x10
const MODE_DECREMENT = 0x20
const MODE_SELECT = 0xc0
const MODE_CASCADE = 0xc0
const TRANSFER_WRITE = 1
const TRANSFER_READ = 2

/** What a transfer did. */
export interface DmaTransfer {
  /** Bytes that were moved: fewer than offered when the count ended, none while the channel is not ready. */
  count: number
  /** The count ended within the transfer: TC was asserted. */
  terminal: boolean
}

/** A channel as the device that it serves sees it. */
export interface DmaChannel {
  /** The channel may transfer: it is not masked and its controller is on. */
  readonly ready: boolean
  /** Drives DREQ. While it is asserted, `onReady` of {@link Dma8237.channel} is called when the channel becomes ready. */
  request(level: boolean): void
  /** Device to memory: offers bytes. On 16-bit channels their number is even. In verify mode they are counted only. */
  write(bytes: Uint8Array): DmaTransfer
  /** Memory to device: fills `bytes`. In verify mode, or when the guest chose the other direction, with ones. */
  read(bytes: Uint8Array): DmaTransfer
}

interface ChannelState {
  baseAddress: number
  baseCount: number
  address: number
  count: number
  mode: number
  masked: boolean
  /** DREQ's level. */
  request: boolean
}

interface ControllerState {
  command: number
  /** Channels that reached terminal count since the status was read. */
  terminal: number
  /** Software requests. */
  requests: number
  /** The next byte of an address or count is its high one. */
  flipFlop: boolean
  channels: ChannelState[]
}

function initialController(): ControllerState {
  const channel = (): ChannelState => ({
    baseAddress: 0,
    baseCount: 0,
    address: 0,
    count: 0,
    mode: 0,
    masked: true,
    request: false,
  })
  return { command: 0, terminal: 0, requests: 0, flipFlop: false, channels: [0, 1, 2, 3].map(channel) }
}

/**
 * The PC's ISA DMA. A device asks for its channel once, asserts DREQ when it has something to move, and moves it at once if
 * the channel is ready or else when `onReady` is called. Transfers take no guest time of their own: the device's pace is
 * the device's. Priorities between channels so have no meaning, and memory to memory is not there, as in any PIIX.
 */
export class Dma8237 implements Device {
  readonly name = 'dma8237'
  readonly version = 1
  state: { controllers: ControllerState[]; pages: number[] }
  readonly #bus: Bus
  readonly #memory: GuestMemory
  readonly #onReady: (() => void)[] = []
  readonly #onLook: (() => void)[] = []

  /** @throws if ports 0h–fh, 81h–8fh or c0h–dfh are taken. */
  constructor(bus: Bus) {
    this.#bus = bus
    this.#memory = bus.memory
    this.state = this.#initial()
    attachBytes(bus, FIRST, 16, {
      readByte: port => this.#read(0, port - FIRST),
      writeByte: (port, value) => this.#write(0, port - FIRST, value),
    })
    // A0 is not wired to the second.
    attachBytes(bus, SECOND, 32, {
      readByte: port => this.#read(1, (port - SECOND) >> 1),
      writeByte: (port, value) => this.#write(1, (port - SECOND) >> 1, value),
    })
    attachBytes(bus, PAGES, PAGE_COUNT, {
      readByte: port => this.state.pages[port - PAGES],
      writeByte: (port, value) => {
        this.state.pages[port - PAGES] = value
      },
    })
  }

  #initial() {
    return { controllers: [initialController(), initialController()], pages: new Array<number>(PAGE_COUNT).fill(0) }
  }

  reset(): void {
    const { controllers } = this.state
    this.state = this.#initial()
    // DREQ is the device's.
    for (const [i, controller] of this.state.controllers.entries())
      for (const [j, channel] of controller.channels.entries()) channel.request = controllers[i].channels[j].request
  }

  /**
   * The device's side of a channel, 0–3 (bytes) or 5–7 (words).
   * @param onReady called when the channel becomes ready while the device requests; it may transfer within the call
   * @param onLook called before the guest reads how far the channel is, for a device that transfers at a pace of its own
   * @throws for a channel that does not exist
   */
  channel(number: number, onReady: () => void = () => {}, onLook: () => void = () => {}): DmaChannel {
    if (!Number.isInteger(number) || number < 0 || number > 7 || number === 4)
      throw new Error(`DMA channel ${number} does not exist: 0 to 3 move bytes, 5 to 7 words`)
    this.#onReady[number] = onReady
    this.#onLook[number] = onLook
    const isReady = () => this.#ready(number)
    return {
      get ready() {
        return isReady()
      },
      request: level => {
        this.#channel(number).request = level
        if (level) this.#offer(number)
      },
      write: bytes => this.#transfer(number, bytes, TRANSFER_WRITE),
      read: bytes => this.#transfer(number, bytes, TRANSFER_READ),
    }
  }

  #channel(number: number): ChannelState {
    return this.state.controllers[number >> 2].channels[number & 3]
  }

  #ready(number: number): boolean {
    const { masked, mode } = this.#channel(number)
    const off = (this.state.controllers[number >> 2].command & COMMAND_DISABLE) !== 0
    return !masked && !off && (mode & MODE_SELECT) !== MODE_CASCADE
  }

  #offer(number: number): void {
    if (this.#channel(number).request && this.#ready(number)) this.#onReady[number]?.()
  }

  /** Where the channel's next unit lies. Pages do not carry: addresses wrap within 64 KiB, or 128 KiB for words. */
  #address(number: number): number {
    const page = this.state.pages[PAGE_CHANNEL.indexOf(number)]
    const { address } = this.#channel(number)
    return number < 4 ? page * 0x10000 + address : (page & 0xfe) * 0x10000 + address * 2
  }

  #transfer(number: number, bytes: Uint8Array, direction: number): DmaTransfer {
    if (!this.#ready(number)) return { count: 0, terminal: false }
    const channel = this.#channel(number)
    const width = number < 4 ? 1 : 2
    const chosen = (channel.mode >> 2) & 3
    const decrements = (channel.mode & MODE_DECREMENT) !== 0
    if (direction === TRANSFER_READ && chosen !== TRANSFER_READ) bytes.fill(0xff)
    const end = bytes.length - (bytes.length % width)
    let done = 0
    let terminal = false
    while (done < end && !terminal) {
      // As far as neither the count nor the 16 bits of the address end.
      const most = decrements ? 1 : Math.min(0x10000 - channel.address, channel.count + 1)
      const units = Math.min((end - done) / width, most)
      const part = bytes.subarray(done, done + units * width)
      if (chosen === direction && direction === TRANSFER_WRITE) this.#memory.write(this.#address(number), part)
      else if (chosen === direction) part.set(this.#memory.read(this.#address(number), part.length))
      channel.address = (channel.address + (decrements ? -units : units)) & 0xffff
      terminal = units === channel.count + 1
      channel.count = (channel.count - units) & 0xffff
      done += part.length
    }
    if (terminal) this.#terminal(number)
    return { count: done, terminal }
  }

  #terminal(number: number): void {
    const controller = this.state.controllers[number >> 2]
    const channel = this.#channel(number)
    const bit = 1 << (number & 3)
    controller.terminal |= bit
    controller.requests &= ~bit
    if (channel.mode & MODE_AUTO_INITIALISE) {
      channel.address = channel.baseAddress
      channel.count = channel.baseCount
    } else channel.masked = true
  }

  #read(index: number, register: number): number {
    const controller = this.state.controllers[index]
    if (register < COMMAND_STATUS) {
      const channel = controller.channels[register >> 1]
      // Not between the two halves.
      if (!controller.flipFlop) this.#onLook[4 * index + (register >> 1)]?.()
      const value = register & 1 ? channel.count : channel.address
      const high = controller.flipFlop
      controller.flipFlop = !high
      return high ? value >> 8 : value & 0xff
    }
    if (register === COMMAND_STATUS) {
      for (let i = 0; i < 4; i++) this.#onLook[4 * index + i]?.()
      let status = controller.terminal
      for (const [i, { request }] of controller.channels.entries())
        if (request || controller.requests & (1 << i)) status |= 0x10 << i
      controller.terminal = 0
      return status
    }
    if (register === WRITE_MASK)
      return controller.channels.reduce((mask, { masked }, i) => mask | (masked ? 1 << i : 0), 0xf0)
    // The temporary register, which only memory to memory fills, and registers that cannot be read.
    return register === MASTER_CLEAR ? 0 : 0xff
  }

  #write(index: number, register: number, value: number): void {
    const controller = this.state.controllers[index]
    const { channels } = controller
    const selected = channels[value & 3]
    switch (register) {
      case COMMAND_STATUS:
        controller.command = value
        if (value & COMMAND_MEMORY_TO_MEMORY)
          this.#bus.logOnce(
            'dma memory',
            'DMA: the guest wants transfers from memory to memory, which a PC does not have',
          )
        break
      case REQUEST:
        if (value & 4) controller.requests |= 1 << (value & 3)
        else controller.requests &= ~(1 << (value & 3))
        break
      case SINGLE_MASK:
        selected.masked = (value & 4) !== 0
        break
      case MODE:
        selected.mode = value & 0xfc
        break
      case CLEAR_FLIP_FLOP:
        controller.flipFlop = false
        break
      case MASTER_CLEAR: {
        const { channels: fresh, ...rest } = initialController()
        Object.assign(controller, rest)
        for (const channel of channels) channel.masked = fresh[0].masked
        break
      }
      case CLEAR_MASK:
        for (const channel of channels) channel.masked = false
        break
      case WRITE_MASK:
        for (const [i, channel] of channels.entries()) channel.masked = (value & (1 << i)) !== 0
        break
      default: {
        const channel = channels[register >> 1]
        const [base, current] = register & 1 ? (['baseCount', 'count'] as const) : (['baseAddress', 'address'] as const)
        const high = controller.flipFlop
        controller.flipFlop = !high
        channel[base] = high ? (channel[base] & 0xff) | (value << 8) : (channel[base] & 0xff00) | value
        channel[current] = channel[base]
        return
      }
    }
    for (let i = 0; i < 4; i++) this.#offer(4 * index + i)
  }
}

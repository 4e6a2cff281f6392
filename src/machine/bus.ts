/**
 * The PC's buses: which device answers which port and which guest-physical address, and how a wide or unaligned access
 * becomes accesses that a device understands.
 */
import type {
  AccessSize,
  Bus,
  Clock,
  GuestMemory,
  InterruptLine,
  MmioHandler,
  MmioRegion,
  PortHandler,
  PortRegion,
} from '../devices/bus.ts'

/** What a bus is made of. */
export interface MachineBusOptions {
  clock: Clock
  memory: GuestMemory
  /** The wire of an ISA IRQ or GSI. */
  interrupt: (number: number) => InterruptLine
  /** Takes one line of the machine's log. */
  log: (message: string) => void
}

/** How many different lines {@link MachineBus.logOnce} writes: a guest must not fill the host's memory with keys. */
const LOG_LIMIT = 1000

const PORTS = 0x10000

/** A value of `size` bytes with every bit set: what a read of nothing gives on a PC. */
function allOnes(size: AccessSize): number {
  return size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff
}

/** `value` as an unsigned number of `size` bytes: whatever a device returned, the processor gets what fits. */
function truncate(value: number, size: AccessSize): number {
  return (value & allOnes(size)) >>> 0
}

function hex(value: number): string {
  return `0x${value.toString(16)}`
}

/** A range of ports or of guest-physical space that a device answers. Kept in order of attachment: the earlier wins. */
interface Attached<Handler> {
  at: number | undefined
  readonly length: number
  readonly handler: Handler
}

/** Whether `range` covers `address`. */
function covers(range: Attached<unknown>, address: number): boolean {
  return range.at !== undefined && address >= range.at && address < range.at + range.length
}

function overlap(a: Attached<unknown>, b: Attached<unknown>): boolean {
  return a.at !== undefined && b.at !== undefined && a.at < b.at + b.length && b.at < a.at + a.length
}

/** Adds a range. @throws if it overlaps another: that is a mistake of whoever builds the machine */
function attach<Handler>(ranges: Attached<Handler>[], range: Attached<Handler>, what: string): void {
  for (const other of ranges)
    if (overlap(range, other))
      throw new Error(
        `${range.length} bytes of ${what} at ${hex(range.at!)} overlap another device's at ${hex(other.at!)}`,
      )
  ranges.push(range)
}

/** The port and memory buses of one machine. */
export class MachineBus implements Bus {
  readonly clock: Clock
  readonly memory: GuestMemory
  readonly #interrupt: (number: number) => InterruptLine
  readonly #log: (message: string) => void
  readonly #ports: (PortHandler | undefined)[] = new Array(PORTS).fill(undefined)
  readonly #portRanges: Attached<PortHandler>[] = []
  /** Few, so that the last hit and a walk are enough. */
  readonly #regions: Attached<MmioHandler>[] = []
  #lastRegion: Attached<MmioHandler> | undefined
  readonly #emptyPorts = new Uint8Array(PORTS)
  /** Pages without RAM or device that were accessed; at most {@link LOG_LIMIT}. */
  readonly #emptyPages = new Set<number>()
  readonly #logged = new Set<string>()

  constructor(options: MachineBusOptions) {
    this.clock = options.clock
    this.memory = options.memory
    this.#interrupt = options.interrupt
    this.#log = options.log
  }

  ports(first: number | undefined, count: number, handler: PortHandler): PortRegion {
    const range: Attached<PortHandler> = { at: first, length: count, handler }
    attach(this.#portRanges, range, 'ports')
    this.#resolvePorts(first, count)
    return {
      move: to => {
        const from = range.at
        range.at = to
        this.#resolvePorts(from, count)
        this.#resolvePorts(to, count)
      },
    }
  }

  /** Looks up again who answers `count` ports from `first`. */
  #resolvePorts(first: number | undefined, count: number): void {
    if (first === undefined) return
    for (let port = first; port < Math.min(first + count, PORTS); port++)
      this.#ports[port] = this.#portRanges.find(range => covers(range, port))?.handler
  }

  mmio(address: number | undefined, length: number, handler: MmioHandler): MmioRegion {
    const range: Attached<MmioHandler> = { at: address, length, handler }
    attach(this.#regions, range, 'memory')
    this.#lastRegion = undefined
    return {
      move: to => {
        range.at = to
        this.#lastRegion = undefined
      },
    }
  }

  interrupt(number: number): InterruptLine {
    return this.#interrupt(number)
  }

  logOnce(key: string, message: string): void {
    if (this.#logged.has(key) || this.#logged.size >= LOG_LIMIT) return
    this.#logged.add(key)
    this.#log(message)
    if (this.#logged.size === LOG_LIMIT) this.#log('further first-time messages are not logged')
  }

  /** IN: the port's device answers if it owns all `size` ports, otherwise each port is read by itself. */
  readPort(port: number, size: AccessSize): number {
    const handler = this.#ports[port]
    if (size === 1) {
      if (handler) return truncate(handler.readPort(port, 1), 1)
      this.#noDevice(port, 'read of')
      return 0xff
    }
    if (handler && this.#ownsAll(port, size, handler)) return truncate(handler.readPort(port, size), size)
    if (this.#ownsAll(port, size, undefined)) {
      this.#noDevice(port, 'read of')
      return allOnes(size)
    }
    let value = 0
    for (let i = 0; i < size; i++) value += this.readPort((port + i) & 0xffff, 1) * 2 ** (8 * i)
    return value
  }

  /** OUT: as {@link readPort}. */
  writePort(port: number, size: AccessSize, value: number): void {
    const handler = this.#ports[port]
    if (size === 1) {
      if (handler) handler.writePort(port, 1, value & 0xff)
      else this.#noDevice(port, 'write to')
      return
    }
    if (handler && this.#ownsAll(port, size, handler)) handler.writePort(port, size, truncate(value, size))
    else for (let i = 0; i < size; i++) this.writePort((port + i) & 0xffff, 1, (value >>> (8 * i)) & 0xff)
  }

  /** Logs an access to an empty port, once for each: a flag a port, because guests poll empty ports for long. */
  #noDevice(port: number, access: string): void {
    if (this.#emptyPorts[port]) return
    this.#emptyPorts[port] = 1
    this.logOnce(`port ${port}`, `${access} port ${hex(port)}, where no device is`)
  }

  #ownsAll(port: number, size: AccessSize, handler: PortHandler | undefined): boolean {
    for (let i = 1; i < size; i++) if (this.#ports[port + i] !== handler || port + i >= PORTS) return false
    return this.#ports[port] === handler
  }

  /** A load that hit no RAM. Unaligned ones become aligned smaller ones, as on the way to a PCI device. */
  readMmio(address: number, size: AccessSize): number {
    if (address % size !== 0) {
      const half = (size >> 1) as AccessSize
      return this.readMmio(address, half) + this.readMmio(address + half, half) * 2 ** (8 * half)
    }
    const region = this.#find(address)
    if (!region) {
      this.#noMemory(address, 'read')
      return allOnes(size)
    }
    const offset = address - region.at!
    if (offset + size > region.length) return allOnes(size)
    return truncate(region.handler.readMmio(offset, size), size)
  }

  /** A store that hit no RAM. */
  writeMmio(address: number, size: AccessSize, value: number): void {
    if (address % size !== 0) {
      const half = (size >> 1) as AccessSize
      this.writeMmio(address, half, truncate(value, half))
      this.writeMmio(address + half, half, value >>> (8 * half))
      return
    }
    const region = this.#find(address)
    if (!region) {
      this.#noMemory(address, 'write')
      return
    }
    const offset = address - region.at!
    if (offset + size <= region.length) region.handler.writeMmio(offset, size, truncate(value, size))
  }

  /** Logs an access to nothing, once for each page: guests fill such holes by the million. */
  #noMemory(address: number, access: string): void {
    const page = Math.floor(address / 4096)
    if (this.#emptyPages.has(page) || this.#emptyPages.size >= LOG_LIMIT) return
    this.#emptyPages.add(page)
    this.logOnce(`mmio ${page}`, `${access} at ${hex(address)}, where neither RAM nor a device is`)
  }

  /** What devices answer now: first and count of ports, address and length of memory. */
  ranges(): { ports: [first: number, count: number][]; memory: [address: number, length: number][] } {
    const attached = (ranges: readonly Attached<unknown>[]) =>
      ranges.flatMap(({ at, length }): [number, number][] => (at === undefined ? [] : [[at, length]]))
    return { ports: attached(this.#portRanges), memory: attached(this.#regions) }
  }

  #find(address: number): Attached<MmioHandler> | undefined {
    const last = this.#lastRegion
    if (last && covers(last, address)) return last
    const found = this.#regions.find(region => covers(region, address))
    // Only where nothing overlaps may the last hit stand for the walk.
    if (found && !this.#regions.some(other => other !== found && overlap(other, found))) this.#lastRegion = found
    return found
  }
}

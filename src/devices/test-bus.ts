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
  Timer,
} from './bus.ts'

class ManualTimer implements Timer {
  deadline: number | undefined
  readonly callback: () => void
  constructor(callback: () => void) {
    this.callback = callback
  }
  arm(deadline: number): void {
    this.deadline = deadline
  }
  cancel(): void {
    this.deadline = undefined
  }
}

/** A clock that moves when a test says so. */
export class ManualClock implements Clock {
  /** The epoch in milliseconds that belongs to time 0. */
  start = Date.UTC(2024, 1, 28, 23, 59, 50)
  /** How many timer callbacks have run. */
  callbacks = 0
  #now = 0
  #timers: ManualTimer[] = []

  now(): number {
    return this.#now
  }

  poll(): number {
    return this.#now
  }

  timer(callback: () => void): Timer {
    const timer = new ManualTimer(callback)
    this.#timers.push(timer)
    return timer
  }

  wallTime(): number {
    return this.start + this.#now / 1e6
  }

  /** The next deadline in nanoseconds, or undefined. */
  next(): number | undefined {
    let next: number | undefined
    for (const { deadline } of this.#timers)
      if (deadline !== undefined && (next === undefined || deadline < next)) next = deadline
    return next
  }

  /** Lets `nanoseconds` pass at once, as on a host that was busy otherwise: what falls due is late. */
  jump(nanoseconds: number): void {
    this.#now += nanoseconds
  }

  /** Lets `nanoseconds` pass, running what falls due at its own time. */
  advance(nanoseconds: number): void {
    const end = this.#now + nanoseconds
    for (let next = this.next(); next !== undefined && next <= end; next = this.next()) {
      this.#now = Math.max(this.#now, next)
      const timer = this.#timers.find(candidate => candidate.deadline === next)!
      timer.deadline = undefined
      this.callbacks++
      timer.callback()
    }
    this.#now = end
  }
}

interface Attached<Handler> {
  at: number | undefined
  length: number
  handler: Handler
}

/** Where `regions` answer at `address`. The earliest attached wins. */
function find<Handler>(regions: Attached<Handler>[], address: number): Attached<Handler> | undefined {
  return regions.find(({ at, length }) => at !== undefined && address >= at && address < at + length)
}

function attach<Handler>(regions: Attached<Handler>[], at: number | undefined, length: number, handler: Handler) {
  if (at !== undefined)
    for (const other of regions)
      if (other.at !== undefined && at < other.at + other.length && other.at < at + length)
        throw new Error(`0x${at.toString(16)} is taken`)
  const region: Attached<Handler> = { at, length, handler }
  regions.push(region)
  return {
    move(to: number | undefined) {
      region.at = to
    },
  }
}

/**
 * A machine's bus for tests: ports, MMIO and lines in lists, a little RAM from address 0, a clock that is moved by hand.
 * The lines are wires to nowhere whose levels and rising edges can be looked at, unless `interrupts` is replaced.
 */
export class TestBus implements Bus {
  readonly clock = new ManualClock()
  readonly ram: Uint8Array
  readonly memory: GuestMemory
  /** What was logged, by key. */
  readonly log = new Map<string, string>()
  /** Rising edges seen on each line. */
  readonly edges: number[] = []
  /** Where {@link interrupt} gets its sources from; replace it to wire an interrupt system. */
  interrupts: ((number: number) => InterruptLine) | undefined
  #ports: Attached<PortHandler>[] = []
  #mmio: Attached<MmioHandler>[] = []
  #sources: { number: number; level: boolean }[] = []

  constructor(ramBytes = 0x10000) {
    const ram = new Uint8Array(ramBytes)
    this.ram = ram
    this.memory = {
      read(address, length) {
        const bytes = new Uint8Array(length).fill(0xff)
        if (address < ram.length) bytes.set(ram.subarray(address, address + length))
        return bytes
      },
      write(address, bytes) {
        if (address < ram.length) ram.set(bytes.subarray(0, ram.length - address), address)
      },
      views(address, length, _forWrite) {
        const inside = Math.max(0, Math.min(length, ram.length - address))
        const outside = new Uint8Array(length - inside).fill(0xff)
        return [ram.subarray(address, address + inside), outside].filter(view => view.length > 0)
      },
    }
  }

  ports(first: number | undefined, count: number, handler: PortHandler): PortRegion {
    return attach(this.#ports, first, count, handler)
  }

  mmio(address: number | undefined, length: number, handler: MmioHandler): MmioRegion {
    return attach(this.#mmio, address, length, handler)
  }

  interrupt(number: number): InterruptLine {
    if (this.interrupts !== undefined) return this.interrupts(number)
    const source = { number, level: false }
    this.#sources.push(source)
    return {
      set: level => {
        const before = this.line(number)
        source.level = level
        if (!before && this.line(number)) this.edges[number] = (this.edges[number] ?? 0) + 1
      },
    }
  }

  logOnce(key: string, message: string): void {
    if (!this.log.has(key)) this.log.set(key, message)
  }

  /** The level of a line. */
  line(number: number): boolean {
    return this.#sources.some(source => source.number === number && source.level)
  }

  /** IN. */
  in(port: number, size: AccessSize = 1): number {
    const value = find(this.#ports, port)?.handler.readPort(port, size) ?? 0xffffffff
    return size === 4 ? value >>> 0 : value & (2 ** (8 * size) - 1)
  }

  /** OUT. */
  out(port: number, value: number, size: AccessSize = 1): void {
    find(this.#ports, port)?.handler.writePort(port, size, value)
  }

  /** A load from MMIO. */
  load(address: number, size: AccessSize = 4): number {
    const region = find(this.#mmio, address)
    const value = region?.handler.readMmio(address - region.at!, size) ?? 0xffffffff
    return size === 4 ? value >>> 0 : value & (2 ** (8 * size) - 1)
  }

  /** A store to MMIO. */
  store(address: number, value: number, size: AccessSize = 4): void {
    const region = find(this.#mmio, address)
    region?.handler.writeMmio(address - region.at!, size, value >>> 0)
  }

  /** Every attached range, for tests that poke at all of them. */
  ranges(): { ports: [first: number, count: number][]; mmio: [address: number, length: number][] } {
    const list = (regions: Attached<unknown>[]) =>
      regions.flatMap(({ at, length }): [number, number][] => (at === undefined ? [] : [[at, length]]))
    return { ports: list(this.#ports), mmio: list(this.#mmio) }
  }
}

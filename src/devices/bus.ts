/**
 * What a device sees of the machine, and what the machine sees of a device.
 *
 * A device file imports this file and nothing of the host. It declares its registers with the datasheet's names, keeps
 * everything that a snapshot must hold in one plain `state` object, and talks to the world through these interfaces.
 */

/** The width of one port or memory access, in bytes. Wider guest accesses are split by the machine, low part first. */
export type AccessSize = 1 | 2 | 4

/** Answers port I/O. `port` is absolute. A value is an unsigned number of `size` bytes; reads return the same. */
export interface PortHandler {
  /** Reads `size` bytes at `port`. */
  readPort(port: number, size: AccessSize): number
  /** Writes the `size` bytes of `value` at `port`. */
  writePort(port: number, size: AccessSize, value: number): void
}

/** Answers memory-mapped I/O. `offset` is relative to the start of the region; values are unsigned. */
export interface MmioHandler {
  /** Reads `size` bytes at `offset`. */
  readMmio(offset: number, size: AccessSize): number
  /** Writes the `size` bytes of `value` at `offset`. */
  writeMmio(offset: number, size: AccessSize, value: number): void
}

/** One interrupt wire. Level or edge is the receiver's matter: it sees the level and its changes. */
export interface InterruptLine {
  /** Drives the wire: true asserts it. Setting the same level again changes nothing. */
  set(level: boolean): void
}

/** A one-shot timer on the machine's clock. */
export interface Timer {
  /** Fires the callback when the clock reaches `deadline` (nanoseconds of {@link Clock.now}); replaces an earlier one. */
  arm(deadline: number): void
  /** Forgets the deadline. */
  cancel(): void
}

/** The machine's clock: guest time, stopped while the machine is paused. */
export interface Clock {
  /** Nanoseconds since the machine was created; never runs backwards. A double: exact to 104 days. */
  now(): number
  /** As {@link now}, for a register that guests read over and over to wait until some time has passed. */
  poll(): number
  /** Makes a timer, not yet armed. Callbacks run between guest instructions, in order of deadline. */
  timer(callback: () => void): Timer
  /** Milliseconds since the Unix epoch, for real-time clocks: a fixed start plus {@link now} where time is simulated. */
  wallTime(): number
}

/** Guest-physical memory as a device's DMA sees it. Addresses are doubles below 2^52. */
export interface GuestMemory {
  /**
   * Copies guest-physical bytes out. Where there is no RAM the bytes are 0xff, and nothing is forwarded to devices:
   * DMA never reaches MMIO.
   */
  read(address: number, length: number): Uint8Array
  /** Copies bytes in, marks pages dirty and drops translations of them. Where there is no RAM they are lost. */
  write(address: number, bytes: Uint8Array): void
  /**
   * Views of the bytes themselves, in order, for a transfer that is over before anything else happens: nobody keeps them.
   * For a transfer into memory (`forWrite`) pages are marked as by {@link write}. Where there is no RAM the views are of bytes
   * that nobody has, 0xff.
   */
  views(address: number, length: number, forWrite: boolean): Uint8Array[]
}

/** Where a device attaches. The machine implements it; a test implements it with a few maps. */
export interface Bus {
  readonly clock: Clock
  readonly memory: GuestMemory
  /** Attaches `handler` to `count` ports from `first`, or to none yet with undefined. Throws if one is taken. */
  ports(first: number | undefined, count: number, handler: PortHandler): PortRegion
  /**
   * Attaches `handler` to `length` bytes of guest-physical space from `address`, or nowhere yet with undefined. Throws
   * if they overlap another's.
   */
  mmio(address: number | undefined, length: number, handler: MmioHandler): MmioRegion
  /**
   * A new source on the wire of the ISA IRQ or GSI `number`, as wired to PIC and I/O APIC. The wire is asserted while
   * any of its sources is.
   */
  interrupt(number: number): InterruptLine
  /** Writes one line to the machine's log, once for each distinct `key`: unimplemented registers and the like. */
  logOnce(key: string, message: string): void
}

/** A mapped MMIO region; PCI BARs move it. */
export interface MmioRegion {
  /** Moves the region, or unmaps it with undefined. The guest chooses where: never throws; an earlier region wins. */
  move(address: number | undefined): void
}

/** An attached range of ports; PCI BARs move it. */
export interface PortRegion {
  /** Moves the range, or detaches it with undefined. The guest chooses where: never throws; an earlier range wins. */
  move(first: number | undefined): void
}

/** A device: something with a name and a state that a snapshot holds. */
export interface Device {
  /** Unique within the machine, as in `'uart0'`. */
  readonly name: string
  /** The version of {@link state}'s shape. A snapshot with another version is refused. */
  readonly version: number
  /** Everything the device is, as plain values (numbers, strings, booleans, arrays, plain objects, Uint8Array). */
  state: object
  /** Puts the device as after RESET#. */
  reset(): void
  /** Called after `state` was replaced by a restored one, to drive lines and arm timers again. */
  restored?(): void
}

/**
 * A function of the PCI bus. How the file of a PCI device is written:
 *
 *     export class Card implements Device {
 *       readonly function: PciFunction      // what the machine puts on the bus: pci.addAnywhere(card.function)
 *       constructor(bus: Bus, message: MessageSignal) {
 *         this.#msi = new Msi(1, message)   // or MsiX, whose table is in a BAR
 *         this.function = new PciFunction(bus, {
 *           name: 'card-pci', vendorId, deviceId, classCode: 0x010802, interruptPin: 1,
 *           bars: [{ kind: 'memory64', size: 0x4000, handler: registers }, undefined, { kind: 'ports', size: 16, handler }],
 *           capabilities: [this.#msi.capability()],
 *           onWrite: (offset, size) => this.#msi.configWritten(offset, size),
 *         })
 *         this.#msi.attach(this.function)
 *       }
 *
 * A BAR's handler gets offsets into the BAR, for ports too; configuration space, sizing, moving and the enable bits of the
 * command register are done here. DMA goes through `function.memory`, which is `bus.memory` while the guest lets the
 * function be bus master and nothing otherwise. An interrupt is `msi.notify(vector)` while `msi.enabled`, else
 * `function.interrupt.set(level)`. The device's own `reset` calls `function.reset()`, `restored` calls
 * `function.restored()`, and its `state` includes `function.state`.
 */
import type { AccessSize, Bus, Device, GuestMemory, InterruptLine, MmioHandler } from './bus.ts'
import { NOWHERE } from './registers.ts'

/** Offsets of the type 0 header (PCI Local Bus Specification 3.0, figure 6-1). */
export const PCI_CONFIG = {
  VENDOR_ID: 0x00,
  DEVICE_ID: 0x02,
  COMMAND: 0x04,
  STATUS: 0x06,
  REVISION_ID: 0x08,
  CLASS_CODE: 0x09,
  HEADER_TYPE: 0x0e,
  BASE_ADDRESS_0: 0x10,
  SUBSYSTEM_VENDOR_ID: 0x2c,
  SUBSYSTEM_ID: 0x2e,
  EXPANSION_ROM: 0x30,
  CAPABILITIES_POINTER: 0x34,
  INTERRUPT_LINE: 0x3c,
  INTERRUPT_PIN: 0x3d,
} as const

/** Bits of the command register. */
export const PCI_COMMAND = { IO: 1, MEMORY: 2, BUS_MASTER: 4, INTERRUPT_DISABLE: 0x400 } as const

const COMMAND_WRITABLE = 0x0547
const STATUS_INTERRUPT = 8
const STATUS_CAPABILITIES = 0x10
const MULTIFUNCTION = 0x80
const BAR_IO = 1
const BAR_64 = 4
const BAR_PREFETCHABLE = 8
const BARS = 6
/** Where the capabilities begin. */
const FIRST_CAPABILITY = 0x40
const ROM_ENABLE = 1
const SMALLEST_ROM = 2048
const LARGEST_ROM = 2 ** 24
/** No processor of ours addresses more. */
const ADDRESS_LIMIT = 2 ** 52

/** A register of configuration space beyond the header. */
export interface ConfigRegister {
  /** The datasheet's name. */
  name: string
  offset: number
  size: AccessSize
  /** Its value after reset; 0 by default. */
  value?: number
  /** A mask of the bits that a write sets; none by default. */
  writable?: number
  /** A mask of the bits that writing one clears. */
  writeOneToClear?: number
}

/** A base address register. */
export interface BarDeclaration {
  /** Which address space it maps; `memory64` takes the following register, too. */
  kind: 'memory' | 'memory64' | 'ports'
  /** Bytes, a power of two: from 16 for memory, from 4 for ports. */
  size: number
  prefetchable?: boolean
  /** Answers accesses to memory or ports, by offset. */
  handler: MmioHandler
  /** Is told where it lies now, for memory that is mapped as such. */
  onMove?(to: number | undefined): void
}

/** An entry of the capabilities list. */
export interface PciCapability {
  id: number
  /** What follows the pointer to the next, and which of these bits can be written. */
  bytes: number[]
  writable?: number[]
}

/** What a function is. */
export interface PciFunctionOptions {
  name: string
  vendorId: number
  deviceId: number
  revision?: number
  /** Base class, subclass and interface in 24 bits. */
  classCode: number
  subsystemVendorId?: number
  subsystemId?: number
  multifunction?: boolean
  /** What is wired in the status register: how fast it answers DEVSEL#, fast back-to-back cycles. 0 by default. */
  status?: number
  /** 1 to 4 for INTA# to INTD#, 0 for none. */
  interruptPin?: number
  registers?: ConfigRegister[]
  bars?: (BarDeclaration | undefined)[]
  capabilities?: PciCapability[]
  /** What the expansion ROM base address register maps; shorter than a power of two, it is filled with ones. */
  expansionRom?: Uint8Array
  /** Called before a read of configuration space, for registers that change by themselves. */
  onRead?(offset: number, size: AccessSize): void
  /** Called after a write. */
  onWrite?(offset: number, size: AccessSize): void
  /** Called after RESET# or a restored snapshot has changed any of it. */
  onReplaced?(): void
}

interface Bar {
  declaration: BarDeclaration
  region: { move(to: number | undefined): void }
  mapped: number | undefined
}

interface PciFunctionState {
  config: Uint8Array
  /** The function asserts its INTx, whether or not that is disabled. */
  interrupt: boolean
}

/** A function of the PCI bus: 256 bytes of configuration space declared as data, and what its BARs map. */
export class PciFunction implements Device {
  readonly name: string
  readonly version = 1
  state: PciFunctionState
  readonly #options: PciFunctionOptions
  readonly #initial: Uint8Array
  readonly #writable = new Uint8Array(256)
  readonly #writeOneToClear = new Uint8Array(256)
  readonly #bars: (Bar | undefined)[]
  readonly #rom: Bar | undefined
  /** Guest memory as the function may use it: reads give ones and writes are lost while it is not bus master. */
  readonly memory: GuestMemory
  #wire: InterruptLine = NOWHERE

  /** @throws if a declaration does not fit: a BAR's size, capabilities beyond 256 bytes. */
  constructor(bus: Bus, options: PciFunctionOptions) {
    this.name = options.name
    this.#options = options
    this.#initial = new Uint8Array(256)
    this.#declareHeader(options)
    for (const register of options.registers ?? []) this.#declare(register)
    this.#declareCapabilities(options.capabilities ?? [])
    this.#bars = (options.bars ?? []).map(
      (declaration, index) => declaration && this.#declareBar(bus, declaration, index),
    )
    this.#rom = options.expansionRom && this.#declareRom(bus, options.expansionRom)
    this.state = { config: this.#initial.slice(), interrupt: false }
    this.memory = {
      read: (address, length) =>
        this.busMaster ? bus.memory.read(address, length) : new Uint8Array(length).fill(0xff),
      write: (address, bytes) => {
        if (this.busMaster) bus.memory.write(address, bytes)
      },
      views: (address, length, forWrite) =>
        this.busMaster ? bus.memory.views(address, length, forWrite) : [new Uint8Array(length).fill(0xff)],
    }
  }

  #declare({ offset, size, value = 0, writable = 0, writeOneToClear = 0 }: ConfigRegister): void {
    for (let i = 0; i < size; i++) {
      this.#initial[offset + i] = value >>> (8 * i)
      this.#writable[offset + i] = writable >>> (8 * i)
      this.#writeOneToClear[offset + i] = writeOneToClear >>> (8 * i)
    }
  }

  #declareHeader(options: PciFunctionOptions): void {
    const header: [offset: number, size: AccessSize, value: number, writable?: number][] = [
      [PCI_CONFIG.VENDOR_ID, 2, options.vendorId],
      [PCI_CONFIG.DEVICE_ID, 2, options.deviceId],
      [PCI_CONFIG.COMMAND, 2, 0, COMMAND_WRITABLE],
      [PCI_CONFIG.REVISION_ID, 4, (options.classCode << 8) | (options.revision ?? 0)],
      [PCI_CONFIG.HEADER_TYPE, 1, options.multifunction ? MULTIFUNCTION : 0],
      [PCI_CONFIG.SUBSYSTEM_VENDOR_ID, 2, options.subsystemVendorId ?? 0],
      [PCI_CONFIG.SUBSYSTEM_ID, 2, options.subsystemId ?? 0],
      [PCI_CONFIG.INTERRUPT_LINE, 1, 0, 0xff],
      [PCI_CONFIG.INTERRUPT_PIN, 1, options.interruptPin ?? 0],
      [0x0c, 2, 0, 0xffff], // cache line size and latency timer
    ]
    for (const [offset, size, value, writable] of header) this.#declare({ name: '', offset, size, value, writable })
    this.#declare({
      name: 'STATUS',
      offset: PCI_CONFIG.STATUS,
      size: 2,
      value: options.status,
      writeOneToClear: 0xf900,
    })
  }

  #declareCapabilities(capabilities: PciCapability[]): void {
    let pointer: number = PCI_CONFIG.CAPABILITIES_POINTER
    let next = FIRST_CAPABILITY
    for (const { id, bytes, writable } of capabilities) {
      if (next + 2 + bytes.length > 256) throw new Error(`${this.name}: the capabilities do not fit in 256 bytes`)
      this.#initial[PCI_CONFIG.STATUS] |= STATUS_CAPABILITIES
      this.#initial[pointer] = next
      this.#initial[next] = id
      this.#initial.set(bytes, next + 2)
      if (writable !== undefined) this.#writable.set(writable, next + 2)
      pointer = next + 1
      next = (next + 2 + bytes.length + 3) & ~3
    }
  }

  #declareBar(bus: Bus, declaration: BarDeclaration, index: number): Bar {
    const { kind, size, prefetchable, handler } = declaration
    const smallest = kind === 'ports' ? 4 : 16
    const fits = Number.isInteger(Math.log2(size)) && size >= smallest && size <= 2 ** 31
    if (!fits || index + (kind === 'memory64' ? 2 : 1) > BARS)
      throw new Error(`${this.name}: BAR ${index} of ${size} bytes is impossible`)
    const flags = kind === 'ports' ? BAR_IO : (kind === 'memory64' ? BAR_64 : 0) | (prefetchable ? BAR_PREFETCHABLE : 0)
    const offset = PCI_CONFIG.BASE_ADDRESS_0 + 4 * index
    this.#declare({ name: `BAR${index}`, offset, size: 4, value: flags, writable: -size })
    if (kind === 'memory64')
      this.#declare({ name: `BAR${index + 1}`, offset: offset + 4, size: 4, writable: 0xffffffff })
    const bar: Bar = { declaration, region: NOT_MAPPED, mapped: undefined }
    if (kind === 'ports')
      bar.region = bus.ports(undefined, size, {
        readPort: (port, width) => handler.readMmio(port - bar.mapped!, width),
        writePort: (port, width, value) => handler.writeMmio(port - bar.mapped!, width, value),
      })
    else bar.region = bus.mmio(undefined, size, handler)
    return bar
  }

  #declareRom(bus: Bus, image: Uint8Array): Bar {
    const size = Math.max(SMALLEST_ROM, 2 ** Math.ceil(Math.log2(image.length)))
    if (image.length === 0 || size > LARGEST_ROM)
      throw new Error(`${this.name}: an expansion ROM of ${image.length} bytes is impossible`)
    const writable = -size | ROM_ENABLE
    this.#declare({ name: 'XROMBAR', offset: PCI_CONFIG.EXPANSION_ROM, size: 4, writable })
    const handler: MmioHandler = {
      readMmio(offset, width) {
        let value = 0
        for (let i = width - 1; i >= 0; i--) value = (value << 8) | (image[offset + i] ?? 0xff)
        return value >>> 0
      },
      writeMmio() {},
    }
    return {
      declaration: { kind: 'memory', size, handler },
      region: bus.mmio(undefined, size, handler),
      mapped: undefined,
    }
  }

  /** The command register lets the function write to memory: DMA and message-signalled interrupts. */
  get busMaster(): boolean {
    return (this.state.config[PCI_CONFIG.COMMAND] & PCI_COMMAND.BUS_MASTER) !== 0
  }

  /** The header says that there are other functions in the slot; the PCI bus sees to it. */
  setMultifunction(): void {
    this.#initial[PCI_CONFIG.HEADER_TYPE] |= MULTIFUNCTION
    this.state.config[PCI_CONFIG.HEADER_TYPE] |= MULTIFUNCTION
  }

  /** Connects the INTx wire; the PCI bus does. */
  connect(wire: InterruptLine): void {
    this.#wire = wire
  }

  /** The pin that {@link interrupt} drives: 1 to 4 for INTA# to INTD#, 0 for none. */
  get interruptPin(): number {
    return this.#options.interruptPin ?? 0
  }

  /** The sizes of the BARs, in order, for who assigns addresses. */
  get bars(): readonly (BarDeclaration | undefined)[] {
    return this.#bars.map(bar => bar?.declaration)
  }

  /** INTx, as the function itself drives it. */
  readonly interrupt: InterruptLine = {
    set: level => {
      if (this.state.interrupt === level) return
      this.state.interrupt = level
      this.#updateInterrupt()
    },
  }

  /** Where the capability with an ID is, the first after `after`, or 0. */
  capability(id: number, after = PCI_CONFIG.CAPABILITIES_POINTER - 1): number {
    const { config } = this.state
    for (let at = config[after + 1]; at !== 0; at = config[at + 1]) if (config[at] === id) return at
    return 0
  }

  reset(): void {
    this.state = { config: this.#initial.slice(), interrupt: false }
    this.restored()
  }

  restored(): void {
    this.#remap()
    this.#updateInterrupt()
    this.#options.onReplaced?.()
  }

  /** Reads configuration space; `offset + size` is at most 256. */
  read(offset: number, size: AccessSize): number {
    this.#options.onRead?.(offset, size)
    const { config, interrupt } = this.state
    let value = 0
    for (let i = size - 1; i >= 0; i--) {
      const dynamic = offset + i === PCI_CONFIG.STATUS && interrupt ? STATUS_INTERRUPT : 0
      value = (value << 8) | config[offset + i] | dynamic
    }
    return value >>> 0
  }

  /** Writes what is writable of configuration space. */
  write(offset: number, size: AccessSize, value: number): void {
    const { config } = this.state
    for (let i = 0; i < size; i++) {
      const byte = (value >>> (8 * i)) & 0xff
      const at = offset + i
      const mask = this.#writable[at]
      config[at] = ((config[at] & ~mask) | (byte & mask)) & ~(byte & this.#writeOneToClear[at])
    }
    if (offset < PCI_CONFIG.EXPANSION_ROM + 4) {
      this.#remap()
      this.#updateInterrupt()
    }
    this.#options.onWrite?.(offset, size)
  }

  #updateInterrupt(): void {
    const disabled = (this.read16(PCI_CONFIG.COMMAND) & PCI_COMMAND.INTERRUPT_DISABLE) !== 0
    this.#wire.set(this.state.interrupt && !disabled)
  }

  /** Two bytes of configuration space as they are stored. */
  read16(offset: number): number {
    const { config } = this.state
    return config[offset] | (config[offset + 1] << 8)
  }

  /** Four bytes of configuration space as they are stored. */
  read32(offset: number): number {
    return (this.read16(offset) | (this.read16(offset + 2) << 16)) >>> 0
  }

  /** Maps the BARs where the registers say, if the command register lets them answer. */
  #remap(): void {
    const command = this.read16(PCI_CONFIG.COMMAND)
    for (const [index, bar] of this.#bars.entries()) {
      if (bar === undefined) continue
      const { kind, size } = bar.declaration
      const offset = PCI_CONFIG.BASE_ADDRESS_0 + 4 * index
      let address = (this.read32(offset) & -size) >>> 0
      if (kind === 'memory64') address += this.read32(offset + 4) * 2 ** 32
      this.#place(bar, address, (command & (kind === 'ports' ? PCI_COMMAND.IO : PCI_COMMAND.MEMORY)) !== 0)
    }
    if (this.#rom === undefined) return
    const register = this.read32(PCI_CONFIG.EXPANSION_ROM)
    const answers = (command & PCI_COMMAND.MEMORY) !== 0 && (register & ROM_ENABLE) !== 0
    this.#place(this.#rom, (register & -this.#rom.declaration.size) >>> 0, answers)
  }

  /** Maps a BAR at an address, or nowhere: where it would end at the top of its space a guest is about to size it. */
  #place(bar: Bar, address: number, answers: boolean): void {
    const { kind, size } = bar.declaration
    const limit = kind === 'ports' ? 0x10001 : kind === 'memory64' ? ADDRESS_LIMIT : 2 ** 32
    const to = answers && address !== 0 && address + size < limit ? address : undefined
    if (to === bar.mapped) return
    bar.mapped = to
    bar.region.move(to)
    bar.declaration.onMove?.(to)
  }
}

const NOT_MAPPED = { move(_to: number | undefined): void {} }

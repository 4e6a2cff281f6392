import type { AccessSize, Bus, Device, InterruptLine, PortHandler } from './bus.ts'
import { PCI_COMMAND, PCI_CONFIG, type PciFunction } from './pci-function.ts'
import { maskTo } from './registers.ts'
import { RESET_CONTROL } from './reset-control.ts'

/** Configuration mechanism 1 (PCI Local Bus Specification 3.0, 3.2.2.3.2). */
const CONFIG_ADDRESS = 0xcf8
const CONFIG_DATA = 0xcfc
const CONFIG_ENABLE = 0x80000000
/** The first of the four GSIs that the PCI interrupt wires lead to. */
export const PIRQ_GSI = 16

/** Which of the four wires INTA# to INTD# (pin 1 to 4) of a slot is on, 0 to 3: as on every i440FX board since. */
export function pirqOf(slot: number, pin: number): number {
  return (slot + pin + 2) & 3
}

/** How the bus is made. */
export interface PciBusOptions {
  /** How many interrupt wires there are, and which a slot's pin (1 to 4) is on; {@link pirqOf}'s four by default. */
  wires?: number
  wireOf?(slot: number, pin: number): number
  /** Answers port cf9h, which lies across the configuration address port. */
  registerCf9?: PortHandler
}

/** Addresses that {@link PciBus.assign} may give out. */
export interface PciWindows {
  /** The first address of memory BARs and their bytes. */
  memory: { start: number; length: number }
  /** The first port of port BARs and their number. */
  ports: { start: number; length: number }
}

/** PCI bus 0 with configuration mechanism 1. What is not there reads as ones. */
export class PciBus implements Device {
  readonly name = 'pci'
  readonly version = 1
  /** The configuration address, and the ISA IRQ that each of the interrupt wires leads to as well, 0 for none. */
  state: { address: number; routes: number[] }
  /** Which interrupt wire the pin (1 to 4) of a slot is on. */
  readonly wireOf: (slot: number, pin: number) => number
  readonly #bus: Bus
  readonly #functions = new Map<number, PciFunction>()
  readonly #isaLines = new Map<number, InterruptLine>()
  /** Levels of every function's INTx, by wire. */
  readonly #levels: boolean[][]

  /** @throws if ports cf8h to cffh are taken. */
  constructor(bus: Bus, options: PciBusOptions = {}) {
    this.#bus = bus
    const { wires = 4 } = options
    this.wireOf = options.wireOf ?? pirqOf
    this.state = { address: 0, routes: new Array<number>(wires).fill(0) }
    this.#levels = Array.from({ length: wires }, () => [])
    const cf9 = options.registerCf9
    bus.ports(CONFIG_ADDRESS, 4, {
      readPort: (port, size) => {
        if (port === CONFIG_ADDRESS && size === 4) return this.state.address
        if (port === RESET_CONTROL && cf9) return cf9.readPort(port, 1) | maskTo(0xffffff00, size)
        return maskTo(0xffffffff, size)
      },
      writePort: (port, size, value) => {
        if (port === CONFIG_ADDRESS && size === 4) this.state.address = (value & 0x80fffffc) >>> 0
        else if (port === RESET_CONTROL && cf9) cf9.writePort(port, 1, value & 0xff)
      },
    })
    bus.ports(CONFIG_DATA, 4, {
      readPort: (port, size) => this.#readData(port - CONFIG_DATA, size),
      writePort: (port, size, value) => this.#writeData(port - CONFIG_DATA, size, value),
    })
  }

  /**
   * Puts a function into a slot.
   * @throws if the slot or function number does not exist or is taken.
   */
  add(slot: number, number: number, pciFunction: PciFunction): void {
    const key = (slot << 3) | number
    if (slot < 0 || slot > 31 || number < 0 || number > 7 || this.#functions.has(key))
      throw new Error(
        `PCI slot ${slot} function ${number} cannot be used: slots are 0 to 31, functions 0 to 7, each once`,
      )
    this.#functions.set(key, pciFunction)
    // Who looks for functions looks at the others only where the first says that there are any.
    if (number > 0) this.#functions.get(slot << 3)?.setMultifunction()
    else if (this.functions().some(other => other.slot === slot && other.number > 0)) pciFunction.setMultifunction()
    const pin = pciFunction.interruptPin
    if (pin === 0) return
    const pirq = this.wireOf(slot, pin)
    const levels = this.#levels[pirq]
    const index = levels.push(false) - 1
    const line = this.#bus.interrupt(PIRQ_GSI + pirq)
    pciFunction.connect({
      set: level => {
        levels[index] = level
        line.set(level)
        this.#updateIsa()
      },
    })
  }

  /** Puts a function into the first slot from `from` that is free, as function 0, and gives the slot. */
  addAnywhere(pciFunction: PciFunction, from = 2): number {
    for (let slot = from; slot < 32; slot++)
      if (!this.#functions.has(slot << 3)) {
        this.add(slot, 0, pciFunction)
        return slot
      }
    throw new Error(`no PCI slot is free for ${pciFunction.name}`)
  }

  /** The functions by slot and number. */
  functions(): { slot: number; number: number; function: PciFunction }[] {
    return [...this.#functions].map(([key, value]) => ({ slot: key >> 3, number: key & 7, function: value }))
  }

  /** Leads wire `pirq` to an ISA IRQ as well, or with 0 to none: the ISA bridge's PIRQ route control. */
  route(pirq: number, irq: number): void {
    this.state.routes[pirq] = irq
    this.#updateIsa()
  }

  /** The bus as after RESET#. Its functions are devices of their own; the ISA bridge resets the routes. */
  reset(): void {
    this.state.address = 0
  }

  restored(): void {
    this.#updateIsa()
  }

  /**
   * Does a firmware's part for a machine that boots without: gives every BAR an address within the windows, lets the
   * functions answer, and writes the interrupt line registers. `irqs` are the ISA IRQs for the wires.
   * @throws if a window is too small.
   */
  assign(windows: PciWindows, irqs: readonly number[]): void {
    const next = { memory: windows.memory.start, ports: windows.ports.start }
    for (const { slot, function: f } of this.functions()) {
      for (const [index, bar] of f.bars.entries()) {
        if (bar === undefined) continue
        const space = bar.kind === 'ports' ? 'ports' : 'memory'
        const address = Math.ceil(next[space] / bar.size) * bar.size
        next[space] = address + bar.size
        if (next[space] > windows[space].start + windows[space].length)
          throw new Error(`the PCI window for ${space} is too small for BAR ${index} of ${f.name}`)
        const offset = PCI_CONFIG.BASE_ADDRESS_0 + 4 * index
        f.write(offset, 4, address % 2 ** 32)
        if (bar.kind === 'memory64') f.write(offset + 4, 4, Math.floor(address / 2 ** 32))
      }
      const answers = PCI_COMMAND.IO | PCI_COMMAND.MEMORY
      if (f.bars.length > 0) f.write(PCI_CONFIG.COMMAND, 2, f.read16(PCI_CONFIG.COMMAND) | answers)
      if (f.interruptPin > 0) f.write(PCI_CONFIG.INTERRUPT_LINE, 1, irqs[this.wireOf(slot, f.interruptPin)])
    }
  }

  /**
   * Reads memory-mapped configuration space: 4 KiB a function, of which the functions here have 256 bytes (PCI Express Base
   * Specification 4.0, 7.2.2).
   */
  readConfiguration(offset: number, size: AccessSize): number {
    const f = offset < 0x100000 ? this.#functions.get(offset >> 12) : undefined
    const register = offset & 0xfff
    if (f === undefined) return maskTo(0xffffffff, size)
    return register + size <= 256 ? f.read(register, size) : 0
  }

  /** As {@link readConfiguration}. */
  writeConfiguration(offset: number, size: AccessSize, value: number): void {
    const f = offset < 0x100000 ? this.#functions.get(offset >> 12) : undefined
    const register = offset & 0xfff
    if (f !== undefined && register + size <= 256) f.write(register, size, value)
  }

  #updateIsa(): void {
    const high = new Set<number>()
    for (const [pirq, irq] of this.state.routes.entries()) {
      if (irq === 0) continue
      if (!this.#isaLines.has(irq)) this.#isaLines.set(irq, this.#bus.interrupt(irq))
      if (this.#levels[pirq].includes(true)) high.add(irq)
    }
    for (const [irq, line] of this.#isaLines) line.set(high.has(irq))
  }

  #selected(): PciFunction | undefined {
    const { address } = this.state
    if ((address & CONFIG_ENABLE) === 0 || (address & 0xff0000) !== 0) return undefined
    return this.#functions.get((address >> 8) & 0xff)
  }

  #readData(lane: number, size: AccessSize): number {
    const f = this.#selected()
    const offset = (this.state.address & 0xfc) + lane
    if (f === undefined || offset + size > 256) return maskTo(0xffffffff, size)
    return f.read(offset, size)
  }

  #writeData(lane: number, size: AccessSize, value: number): void {
    const offset = (this.state.address & 0xfc) + lane
    if (offset + size <= 256) this.#selected()?.write(offset, size, value)
  }
}

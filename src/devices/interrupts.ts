import type { VcpuSignals } from '../engines/contract.ts'
import { LocalApic } from './apic.ts'
import { type ApicMessage, DELIVERY } from './apic-bits.ts'
import type { Bus, Device, InterruptLine, MmioRegion } from './bus.ts'
import { IOAPIC_PINS, IoApic } from './ioapic.ts'
import { Pic8259 } from './pic8259.ts'
import { dwordRegisters } from './registers.ts'

/** Model-specific registers of the local APIC (SDM volume 4). */
export const IA32_APIC_BASE = 0x1b
export const IA32_TSC_DEADLINE = 0x6e0
export const X2APIC_FIRST = 0x800
export const X2APIC_LAST = 0x8ff
/** The addresses that message-signalled interrupts are written to (SDM volume 3, 11.11.1). */
const MESSAGE_ADDRESS = 0xfee
/** The I/O APIC's input that ISA IRQ 0 is wired to; input 0 is the PIC's output, unused. */
export const TIMER_PIN = 2

/** A processor as the interrupt system sees it. */
export interface InterruptTarget {
  /** Its APIC ID: 0 for the bootstrap processor, the first of the list. */
  id: number
  signals: VcpuSignals
  /** The clock's nanoseconds at which its time-stamp counter, as the guest sees it, has a value. */
  timestampTime(low: number, high: number): number
}

/** How the interrupt system is made. */
export interface InterruptSystemOptions {
  /** The processors, the bootstrap processor first. */
  processors: InterruptTarget[]
  /** MAXPHYADDR as CPUID reports it; 40 by default. */
  physicalAddressBits?: number
}

/**
 * The PC's interrupt wiring: two 8259As, an I/O APIC and a local APIC for each processor. An ISA IRQ goes to the PIC and
 * to the I/O APIC's input of its number, IRQ 0 to input 2; GSIs from 16 to the I/O APIC only; the PIC's output to LINT0.
 */
export class InterruptSystem {
  readonly pic: Pic8259
  readonly ioapic: IoApic
  readonly apics: LocalApic[]
  /** The processor that accesses MMIO now, as an index: set it before an engine runs a processor other than the last. */
  current = 0
  #sources: boolean[][] = []
  #levels: boolean[] = []
  readonly #region: MmioRegion

  /** @throws if ports or addresses of the controllers are taken. */
  constructor(bus: Bus, options: InterruptSystemOptions) {
    this.pic = new Pic8259(bus, {
      set: level => {
        for (const apic of this.apics ?? []) apic.setLint(0, level)
      },
    })
    this.ioapic = new IoApic(bus, { id: 0, send: message => this.send(message) })
    this.apics = options.processors.map(
      ({ id, signals, timestampTime }, index) =>
        new LocalApic(bus, {
          id,
          bootstrap: index === 0,
          signals,
          timestampTime,
          physicalAddressBits: options.physicalAddressBits ?? 40,
          send: message => this.send(message),
          sendAll: (message, except) => {
            for (const apic of this.apics)
              if (apic !== except) apic.receive(message.deliveryMode, message.vector, message.levelTriggered)
          },
          onEoi: vector => this.ioapic.endOfInterrupt(vector),
          acknowledgeExternal: () => this.pic.acknowledge(),
          onBase: () => this.#place(),
        }),
    )
    const registers = dwordRegisters({
      readDword: offset => this.apics[this.current].readDword(offset),
      writeDword: (offset, value) => this.apics[this.current].writeDword(offset, value),
      refuse: (offset, size) =>
        bus.logOnce(`apic access ${offset}`, `local APIC: a ${size}-byte write at offset ${offset} is ignored`),
    })
    this.#region = bus.mmio(undefined, 0x1000, registers)
    this.#place()
  }

  /** The parts that a snapshot holds, in the order of restoring. */
  get devices(): Device[] {
    return [this.pic, this.ioapic, ...this.apics]
  }

  /** All controllers as after RESET#. */
  reset(): void {
    for (const device of this.devices) device.reset()
  }

  /** A new source on the wire of an ISA IRQ or GSI, 0 to 23; the wire is asserted while any of its sources is. */
  line(gsi: number): InterruptLine {
    if (!Number.isInteger(gsi) || gsi < 0 || gsi >= IOAPIC_PINS)
      throw new Error(`interrupt ${gsi} does not exist: a GSI is 0 to ${IOAPIC_PINS - 1}`)
    const sources = (this.#sources[gsi] ??= [])
    const source = sources.push(false) - 1
    return {
      set: level => {
        if (sources[source] === level) return
        sources[source] = level
        this.#drive(gsi, level || sources.includes(true))
      },
    }
  }

  /** A message-signalled interrupt, or any write to the page at fee00000h by a device. */
  message(addressLow: number, addressHigh: number, data: number): void {
    if (addressHigh !== 0 || addressLow >>> 20 !== MESSAGE_ADDRESS) return
    this.send({
      destination: (addressLow >>> 12) & 0xff,
      logical: (addressLow & 4) !== 0,
      wide: false,
      deliveryMode: (data >> 8) & 7,
      vector: data & 0xff,
      levelTriggered: (data & 0x8000) !== 0,
    })
  }

  /** Brings an interrupt to the local APICs it is for. */
  send(message: ApicMessage): void {
    const { deliveryMode, vector, levelTriggered } = message
    if (deliveryMode === DELIVERY.EXTINT) return
    const targets = this.apics.filter(apic => apic.matches(message))
    if (deliveryMode === DELIVERY.LOWEST_PRIORITY && targets.length > 1) {
      let lowest = targets[0]
      for (const apic of targets) if (apic.processorPriority < lowest.processorPriority) lowest = apic
      lowest.receive(deliveryMode, vector, levelTriggered)
    } else for (const apic of targets) apic.receive(deliveryMode, vector, levelTriggered)
  }

  /** Drives LINT1 of all processors, the PC's NMI. */
  setNmi(level: boolean): void {
    for (const apic of this.apics) apic.setLint(1, level)
  }

  /** Takes the interrupt that a processor is offered: its vector, or -1 when there is none after all. */
  acknowledge(processor: number): number {
    return this.apics[processor].acknowledge()
  }

  /** RDMSR of 1bh, 6e0h, 800h–8ffh: [low, high], or undefined for #GP or a register that is not the APIC's. */
  readMsr(processor: number, index: number): [low: number, high: number] | undefined {
    const apic = this.apics[processor]
    if (index === IA32_APIC_BASE) return apic.readBase()
    if (index === IA32_TSC_DEADLINE) return apic.readDeadline()
    if (index >= X2APIC_FIRST && index <= X2APIC_LAST) return apic.readX2apic(index)
    return undefined
  }

  /** WRMSR of 1bh, 6e0h, 800h–8ffh: false for #GP or a register that is not the APIC's. */
  writeMsr(processor: number, index: number, low: number, high: number): boolean {
    const apic = this.apics[processor]
    if (index === IA32_APIC_BASE) return apic.writeBase(low >>> 0, high >>> 0)
    if (index >= X2APIC_FIRST && index <= X2APIC_LAST) return apic.writeX2apic(index, low >>> 0, high >>> 0)
    if (index !== IA32_TSC_DEADLINE) return false
    apic.writeDeadline(low >>> 0, high >>> 0)
    return true
  }

  #drive(gsi: number, level: boolean): void {
    if ((this.#levels[gsi] ?? false) === level) return
    this.#levels[gsi] = level
    if (gsi < 16) this.pic.setLine(gsi, level)
    if (gsi === 0) this.ioapic.setLine(TIMER_PIN, level)
    else if (gsi !== TIMER_PIN) this.ioapic.setLine(gsi, level)
  }

  /** The registers' page follows the bootstrap processor's base; that of other processors is expected at the same. */
  #place(): void {
    if (this.apics === undefined || this.#region === undefined) return
    this.#region.move(this.apics.find(apic => apic.mmioBase !== undefined)?.mmioBase ?? 0xfee00000)
  }
}

import { type ApicMessage, DELIVERY } from './apic-bits.ts'
import type { Bus, Device } from './bus.ts'
import { dwordRegisters } from './registers.ts'

/** Where the I/O APIC is (82093AA data sheet, and its successors in chipsets for version 20h). */
export const IOAPIC_BASE = 0xfec00000
/** How many interrupt inputs it has. */
export const IOAPIC_PINS = 24

const IOREGSEL = 0x00
const IOWIN = 0x10
const EOIR = 0x40
const IOAPICID = 0
const IOAPICVER = 1
const IOAPICARB = 2
const IOREDTBL = 0x10

const VERSION = 0x20
const ENTRY_REMOTE_IRR = 0x4000
const ENTRY_LEVEL = 0x8000
const ENTRY_MASKED = 0x10000
/** All but delivery status and remote IRR. */
const ENTRY_WRITABLE = 0x1afff

/** How the I/O APIC is wired. */
export interface IoApicOptions {
  /** Its APIC ID after reset. */
  id: number
  /** Brings an interrupt to the local APICs. */
  send(message: ApicMessage): void
}

interface IoApicState {
  id: number
  select: number
  /** Levels of the inputs. */
  lines: boolean[]
  /** The redirection table's low and high halves. */
  low: number[]
  high: number[]
}

/** An I/O APIC of 24 inputs. An input is asserted or not; which voltage that is, its polarity bit, does not matter. */
export class IoApic implements Device {
  readonly name = 'ioapic'
  readonly version = 1
  state: IoApicState
  readonly #options: IoApicOptions
  readonly #bus: Bus

  /** @throws if the page at fec00000h is taken. */
  constructor(bus: Bus, options: IoApicOptions) {
    this.#options = options
    this.#bus = bus
    this.state = this.#initial()
    bus.mmio(IOAPIC_BASE, 0x1000, dwordRegisters(this))
  }

  #initial(): IoApicState {
    return {
      id: this.#options.id,
      select: 0,
      lines: new Array(IOAPIC_PINS).fill(false),
      low: new Array(IOAPIC_PINS).fill(ENTRY_MASKED),
      high: new Array(IOAPIC_PINS).fill(0),
    }
  }

  reset(): void {
    const { lines } = this.state
    this.state = { ...this.#initial(), lines }
  }

  /** Drives an input. */
  setLine(pin: number, level: boolean): void {
    const s = this.state
    const rises = level && !s.lines[pin]
    s.lines[pin] = level
    if (!rises) return
    if (s.low[pin] & ENTRY_LEVEL) this.#serviceLevel(pin)
    // An edge while the input is masked is lost.
    else if ((s.low[pin] & ENTRY_MASKED) === 0) this.#send(pin)
  }

  /** A narrow or unaligned write does nothing. */
  refuse(offset: number): void {
    this.#unknown(`offset 0x${offset.toString(16)} for such a write`)
  }

  /** A local APIC's EOI of a level-triggered interrupt. */
  endOfInterrupt(vector: number): void {
    const s = this.state
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      if ((s.low[pin] & 0xff) !== vector || (s.low[pin] & ENTRY_REMOTE_IRR) === 0) continue
      s.low[pin] &= ~ENTRY_REMOTE_IRR
      this.#serviceLevel(pin)
    }
  }

  /** A level-triggered input interrupts while it is asserted, once for each EOI. */
  #serviceLevel(pin: number): void {
    const s = this.state
    if (!s.lines[pin] || (s.low[pin] & (ENTRY_LEVEL | ENTRY_MASKED | ENTRY_REMOTE_IRR)) !== ENTRY_LEVEL) return
    const deliveryMode = (s.low[pin] >> 8) & 7
    // The other modes are edges whatever the entry says, and see no EOI.
    if (deliveryMode <= DELIVERY.LOWEST_PRIORITY) s.low[pin] |= ENTRY_REMOTE_IRR
    this.#send(pin)
  }

  #send(pin: number): void {
    const low = this.state.low[pin]
    this.#options.send({
      destination: this.state.high[pin] >>> 24,
      logical: (low & 0x800) !== 0,
      wide: false,
      deliveryMode: (low >> 8) & 7,
      vector: low & 0xff,
      levelTriggered: (low & ENTRY_LEVEL) !== 0,
    })
  }

  readDword(offset: number): number {
    const s = this.state
    if (offset === IOREGSEL) return s.select
    if (offset !== IOWIN) return this.#unknown(`offset 0x${offset.toString(16)}`)
    if (s.select === IOAPICID || s.select === IOAPICARB) return s.id << 24
    if (s.select === IOAPICVER) return VERSION | ((IOAPIC_PINS - 1) << 16)
    const pin = (s.select - IOREDTBL) >> 1
    if (pin < 0 || pin >= IOAPIC_PINS) return this.#unknown(`register 0x${s.select.toString(16)}`)
    return (s.select & 1 ? s.high[pin] : s.low[pin]) >>> 0
  }

  writeDword(offset: number, value: number): void {
    const s = this.state
    if (offset === IOREGSEL) s.select = value & 0xff
    else if (offset === EOIR) this.endOfInterrupt(value & 0xff)
    else if (offset === IOWIN) this.#writeWindow(value)
    else this.#unknown(`offset 0x${offset.toString(16)}`)
  }

  #unknown(what: string): number {
    this.#bus.logOnce(`ioapic ${what}`, `I/O APIC: there is no register at ${what}`)
    return 0
  }

  #writeWindow(value: number): void {
    const s = this.state
    if (s.select === IOAPICID) {
      s.id = (value >>> 24) & 15
      return
    }
    const pin = (s.select - IOREDTBL) >> 1
    if (pin < 0 || pin >= IOAPIC_PINS) {
      this.#unknown(`register 0x${s.select.toString(16)}`)
      return
    }
    if (s.select & 1) {
      s.high[pin] = (value & 0xff000000) >>> 0
      return
    }
    s.low[pin] = (value & ENTRY_WRITABLE) | (s.low[pin] & ENTRY_REMOTE_IRR)
    // An entry that becomes edge triggered forgets that an interrupt was in service; drivers use that as an EOI.
    if ((value & ENTRY_LEVEL) === 0) s.low[pin] &= ~ENTRY_REMOTE_IRR
    this.#serviceLevel(pin)
  }
}

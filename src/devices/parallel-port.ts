import type { Bus, Device, InterruptLine } from './bus.ts'
import { attachBytes } from './registers.ts'

/** What is at the other end of the printer cable. */
export interface PrinterEndpoint {
  /** The guest printed a byte. Called once for each byte: buffer cheaply. */
  print(byte: number): void
}

/** How a parallel port is wired. */
export interface ParallelPortOptions {
  /** The first of its eight ports, as 0x378; those of the extended capabilities port are 0x400 above. */
  port: number
  /** Its ISA IRQ, as 7. */
  irq: number
  endpoint: PrinterEndpoint
}

/** Registers of the IBM PC's printer adapter, with those of EPP 1.9 behind them, as offsets. */
const DATA = 0
const STATUS = 1
const CONTROL = 2
/** Registers of the ECP ("Extended Capabilities Port Protocol and ISA Interface Standard"), as offsets. */
const ECP = 0x400
const FIFO_CNFGA = ECP
const CNFGB = ECP + 1
const ECR = ECP + 2

const STATUS_EPP_TIMEOUT = 1
/** Bit 1 reads as a one; bit 2 is 0 while an interrupt waits (nIRQ of the PS/2). */
const STATUS_RESERVED = 2
const STATUS_NO_INTERRUPT = 4
const STATUS_NO_ERROR = 8
const STATUS_SELECTED = 0x10
const STATUS_NO_PAPER = 0x20
const STATUS_NO_ACKNOWLEDGE = 0x40
const STATUS_NOT_BUSY = 0x80

/** A printer that is on, has paper and is ready. */
const PRINTER_READY = STATUS_NOT_BUSY | STATUS_NO_ACKNOWLEDGE | STATUS_SELECTED | STATUS_NO_ERROR
/** A socket without a plug: the inputs are pulled up, and BUSY is inverted. */
const UNPLUGGED = STATUS_NO_ACKNOWLEDGE | STATUS_NO_PAPER | STATUS_SELECTED | STATUS_NO_ERROR

const CONTROL_STROBE = 1
const CONTROL_INTERRUPT = 0x10
const CONTROL_REVERSE = 0x20
/** Bits 7 and 6 are not there. */
const CONTROL_RESERVED = 0xc0

const ECR_NO_ERROR_INTERRUPT = 0x10
const ECR_DMA = 8
const ECR_SERVICE = 4
const ECR_FULL = 2
const ECR_EMPTY = 1

/** Modes of the ECR, its bits 5 to 7. */
const MODE = { spp: 0, ps2: 1, fifo: 2, ecp: 3, epp: 4, test: 6, configuration: 7 } as const

const FIFO_SIZE = 16
/** So many bytes free, or there to be read, make a service interrupt. */
const FIFO_THRESHOLD = 8
/** cnfgA: an implementation of 8 bits with interrupts as pulses and nothing waiting in the transceiver. */
const CNFGA = 0x14
/** cnfgB: IRQ 7; the DMA channel is set by jumpers, which is to say that nobody knows. */
const CNFGB_IRQ = { 5: 7, 7: 1, 9: 2, 10: 3, 11: 4, 14: 5, 15: 6 } as Record<number, number>

interface ParallelPortState {
  data: number
  control: number
  eppTimeout: boolean
  /** nACK is low: the printer took a byte, and nobody has looked since. */
  acknowledging: boolean
  /** nACK came while its interrupt was on; until the status is read. */
  interrupt: boolean
  /** Bits 3 to 7 and serviceIntr of the ECR. */
  ecr: number
  /** The FIFO of the test mode; in the others bytes pass at once. */
  fifo: number[]
}

/**
 * A parallel port as PCs have had: IBM's printer adapter, bidirectional as in the PS/2, with EPP 1.9 and the ECP's modes and
 * registers (no DMA). At its end is a printer that knows IBM's protocol only: it takes a byte with each strobe and acknowledges it at
 * once, does not answer IEEE 1284's negotiation, and leaves EPP's handshake to its timeout.
 */
export class ParallelPort implements Device {
  readonly name: string
  readonly version = 1
  state: ParallelPortState
  readonly #options: ParallelPortOptions
  readonly #line: InterruptLine
  #connected = true

  /** @throws if one of the ports is taken. */
  constructor(bus: Bus, options: ParallelPortOptions) {
    this.name = `parallel${options.port.toString(16)}`
    this.#options = options
    this.#line = bus.interrupt(options.irq)
    this.state = this.#initial()
    attachBytes(bus, options.port, 8, this)
    attachBytes(bus, options.port + ECP, 3, this)
  }

  #initial(): ParallelPortState {
    return {
      data: 0,
      control: 0x0c,
      eppTimeout: false,
      acknowledging: false,
      interrupt: false,
      ecr: ECR_SERVICE,
      fifo: [],
    }
  }

  /** Whether there is a printer; without one every byte is lost, and the guest sees an empty socket. */
  setConnected(connected: boolean): void {
    this.#connected = connected
  }

  reset(): void {
    this.state = this.#initial()
    this.#line.set(false)
  }

  restored(): void {
    this.#line.set(this.state.interrupt)
  }

  get #mode(): number {
    return this.state.ecr >> 5
  }

  readByte(port: number): number {
    const s = this.state
    switch (port - this.#options.port) {
      case DATA:
        return this.#reversed ? 0xff : s.data
      case STATUS:
        return this.#readStatus()
      case CONTROL:
        return CONTROL_RESERVED | s.control
      case FIFO_CNFGA:
        return this.#readFifo()
      case CNFGB:
        if (this.#mode !== MODE.configuration) return 0xff
        return ((s.interrupt ? 1 : 0) << 6) | ((CNFGB_IRQ[this.#options.irq] ?? 0) << 3)
      case ECR:
        return s.ecr | (s.fifo.length === FIFO_SIZE ? ECR_FULL : 0) | (s.fifo.length === 0 ? ECR_EMPTY : 0)
      default:
        this.#eppCycle()
        return 0xff
    }
  }

  writeByte(port: number, value: number): void {
    const s = this.state
    switch (port - this.#options.port) {
      case DATA:
        // In ECP mode this is an address or a length of repetitions, which means nothing to the printer.
        if (this.#mode !== MODE.ecp) s.data = value
        break
      case STATUS:
        if (value & STATUS_EPP_TIMEOUT) s.eppTimeout = false
        break
      case CONTROL:
        this.#writeControl(value & ~CONTROL_RESERVED)
        break
      case FIFO_CNFGA:
        this.#writeFifo(value)
        break
      case CNFGB:
        break
      case ECR:
        s.ecr = value & (0xe0 | ECR_NO_ERROR_INTERRUPT | ECR_DMA | ECR_SERVICE)
        if (this.#mode === MODE.spp || this.#mode === MODE.ps2) s.fifo = []
        this.#service()
        break
      default:
        this.#eppCycle()
        break
    }
  }

  /** The data lines are the printer's, which drives none. */
  get #reversed(): boolean {
    return (this.state.control & CONTROL_REVERSE) !== 0 && this.#mode !== MODE.spp && this.#mode !== MODE.fifo
  }

  #readStatus(): number {
    const s = this.state
    // A BIOS gives its callers this bit as that of its own timeout, so that it has to be clear outside of EPP's mode.
    const timeout = s.eppTimeout && this.#mode === MODE.epp ? STATUS_EPP_TIMEOUT : 0
    // The pulse of nACK lasts until it was seen: BIOSes wait for it, and some microseconds are soon over here.
    const acknowledge = s.acknowledging ? STATUS_NO_ACKNOWLEDGE : 0
    const value = ((this.#connected ? PRINTER_READY : UNPLUGGED) & ~acknowledge) | STATUS_RESERVED | timeout
    s.acknowledging = false
    const waiting = s.interrupt
    s.interrupt = false
    this.#line.set(false)
    return waiting ? value : value | STATUS_NO_INTERRUPT
  }

  #writeControl(value: number): void {
    const s = this.state
    const strobed = (value & ~s.control & CONTROL_STROBE) !== 0
    s.control = value
    if ((value & CONTROL_INTERRUPT) === 0) {
      s.interrupt = false
      this.#line.set(false)
    }
    // In the other modes the strobe is the chip's own.
    if (strobed && (this.#mode === MODE.spp || this.#mode === MODE.ps2 || this.#mode === MODE.epp)) this.#print(s.data)
  }

  /** The printer takes a byte, and acknowledges it. */
  #print(byte: number): void {
    if (!this.#connected) return
    this.#options.endpoint.print(byte)
    this.state.acknowledging = true
    if (this.state.control & CONTROL_INTERRUPT) this.#interrupt()
  }

  /** An interrupt that is asserted until somebody reads the status; another one is another edge. */
  #interrupt(): void {
    this.state.interrupt = true
    this.#line.set(false)
    this.#line.set(true)
  }

  /** Nobody answers a cycle of the EPP: 10 µs later the chip gives up, which is now. */
  #eppCycle(): void {
    if (this.#mode === MODE.epp) this.state.eppTimeout = true
  }

  #readFifo(): number {
    if (this.#mode === MODE.configuration) return CNFGA
    if (this.#mode !== MODE.test) return 0xff
    const byte = this.state.fifo.shift() ?? 0xff
    this.#service()
    return byte
  }

  #writeFifo(value: number): void {
    const { fifo, control } = this.state
    if (this.#mode === MODE.test) {
      if (fifo.length < FIFO_SIZE) fifo.push(value)
    } else if (this.#mode === MODE.fifo || (this.#mode === MODE.ecp && (control & CONTROL_REVERSE) === 0))
      if (this.#connected)
        // The FIFO is empty again before anybody looks.
        this.#options.endpoint.print(value)
    this.#service()
  }

  /** serviceIntr: the guest asked to hear of room in the FIFO, or of what is in it. */
  #service(): void {
    const s = this.state
    const mode = this.#mode
    if (s.ecr & (ECR_SERVICE | ECR_DMA) || (mode !== MODE.fifo && mode !== MODE.ecp && mode !== MODE.test)) return
    const ready = s.control & CONTROL_REVERSE ? s.fifo.length : FIFO_SIZE - s.fifo.length
    if (ready < FIFO_THRESHOLD) return
    s.ecr |= ECR_SERVICE
    this.#interrupt()
  }
}

import type { Bus, Clock, Device, InterruptLine, Timer } from './bus.ts'
import { attachBytes } from './registers.ts'

/** The world on the other end of the serial cable. */
export interface SerialEndpoint {
  /** A byte left the port. Called once for each byte: buffer cheaply. */
  transmit(byte: number): void
  /** {@link Uart16550.receive} refused bytes before and now has room again. */
  receiveReady?(): void
}

/** How a UART is wired. */
export interface UartOptions {
  /** Unique device name; `uart` and the port by default. */
  name?: string
  /** The first of its eight ports, as 0x3f8. */
  port: number
  /** Its ISA IRQ, as 4. */
  irq: number
  endpoint: SerialEndpoint
  /** Whether OUT2 gates the interrupt as on the IBM PC's card; off by default, as guests that forget it are common. */
  out2Gate?: boolean
  /** Whether bytes from outside wait on the wire, whatever the guest does, until {@link Uart16550.release}. */
  held?: boolean
}

/** Register offsets (PC16550D data sheet, table 2). */
const RBR_THR_DLL = 0
const IER_DLM = 1
const IIR_FCR = 2
const LCR = 3
const MCR = 4
const LSR = 5
const MSR = 6
const SCR = 7

const IER_ERBFI = 1
const IER_ETBEI = 2
const IER_ELSI = 4
const IER_EDSSI = 8

const IIR_NONE = 1
const IIR_LINE_STATUS = 6
const IIR_DATA_AVAILABLE = 4
const IIR_TIMEOUT = 12
const IIR_THR_EMPTY = 2
const IIR_MODEM_STATUS = 0
const IIR_FIFOS_ENABLED = 0xc0

const FCR_ENABLE = 1
const FCR_RESET_RECEIVER = 2
const FCR_TRIGGER = [1, 4, 8, 14]

const LCR_STOP = 4
const LCR_PARITY = 8
const LCR_BREAK = 0x40
const LCR_DLAB = 0x80

const MCR_DTR = 1
const MCR_RTS = 2
const MCR_OUT1 = 4
const MCR_OUT2 = 8
const MCR_LOOP = 0x10

const LSR_DR = 1
const LSR_OE = 2
const LSR_BI = 0x10
const LSR_THRE = 0x20
const LSR_TEMT = 0x40
const LSR_FIFO_ERROR = 0x80

const MSR_CTS = 0x10
const MSR_DSR = 0x20
const MSR_RI = 0x40
const MSR_DCD = 0x80

/** Where there is something at the other end, it is always ready. */
const MODEM_READY = MSR_CTS | MSR_DSR | MSR_DCD
/**
 * Without, there is no data set and no carrier; but nobody who controls the flow of output by CTS waits for ever: what is sent is lost.
 */
const UNPLUGGED = MSR_CTS
const FIFO_SIZE = 16
/** How many received bytes wait behind the FIFO before {@link Uart16550.receive} refuses more. */
const QUEUE_SIZE = 4096
/** Nanoseconds of the line that are made up for when the machine looks late: hosts wake up late, and more so busy ones. */
const CATCH_UP = 50_000_000
/** This many reads of LSR with nothing between them mean a guest that polls for input with its interrupt off. */
const POLLS = 4

interface UartState {
  ier: number
  fcr: number
  lcr: number
  mcr: number
  /** The error bits of LSR; the others follow from the FIFO. */
  lsrErrors: number
  /** The input bits of MSR and its deltas. */
  msr: number
  scr: number
  divisor: number
  fifo: number[]
  /** The byte that was read last. */
  lastRead: number
  /** The FIFO holds bytes that the guest sent itself in loopback. */
  fifoFromLoop: boolean
  /** Bytes on the wire, not yet in the FIFO. */
  queue: number[]
  /** The caller was told that the queue is full and waits to hear of room. */
  refused: boolean
  thrEmptyInterrupt: boolean
  timeoutInterrupt: boolean
  /** Consecutive reads of LSR. */
  polls: number
  /** When the wire has next delivered a character, in nanoseconds. */
  receiveAt: number
  /** Nothing is received before {@link Uart16550.release}. */
  held: boolean
}

/**
 * A National Semiconductor PC16550D with its FIFOs. Transmission takes no time. Reception keeps the programmed rate and
 * never overruns: what the guest has not read, or would throw away by resetting the FIFO, waits on the wire.
 */
export class Uart16550 implements Device {
  readonly name: string
  readonly version = 1
  state: UartState
  readonly #port: number
  readonly #endpoint: SerialEndpoint
  readonly #line: InterruptLine
  readonly #clock: Clock
  readonly #receiveTimer: Timer
  readonly #timeoutTimer: Timer
  readonly #out2Gate: boolean
  readonly #held: boolean
  /** The state of the modem lines outside. */
  #modem = MODEM_READY

  /** @throws if one of the ports is taken. */
  constructor(bus: Bus, options: UartOptions) {
    this.name = options.name ?? `uart${options.port.toString(16)}`
    this.#port = options.port
    this.#endpoint = options.endpoint
    this.#out2Gate = options.out2Gate ?? false
    this.#held = options.held ?? false
    this.#clock = bus.clock
    this.#line = bus.interrupt(options.irq)
    this.#receiveTimer = bus.clock.timer(() => this.#fill())
    this.#timeoutTimer = bus.clock.timer(() => {
      if (this.state.fifo.length === 0) return
      this.state.timeoutInterrupt = true
      this.#update()
    })
    this.state = this.#initial()
    attachBytes(bus, options.port, 8, this)
  }

  #initial(): UartState {
    return {
      ier: 0,
      fcr: 0,
      lcr: 0,
      mcr: 0,
      lsrErrors: 0,
      msr: this.#modem,
      scr: 0,
      divisor: 12,
      fifo: [],
      lastRead: 0,
      fifoFromLoop: false,
      queue: [],
      refused: false,
      thrEmptyInterrupt: false,
      timeoutInterrupt: false,
      polls: 0,
      receiveAt: 0,
      held: this.#held,
    }
  }

  /** The port as after RESET#. Bytes that the guest has not read stay on the wire. */
  reset(): void {
    this.#unreceive()
    const { queue, refused } = this.state
    this.state = { ...this.#initial(), queue, refused }
    this.#receiveTimer.cancel()
    this.#timeoutTimer.cancel()
    this.#update()
  }

  restored(): void {
    this.#receiveTimer.cancel()
    this.#timeoutTimer.cancel()
    this.#fill()
    this.#armTimeout()
    this.#update()
  }

  /**
   * Bytes that arrive from outside.
   * @returns how many were taken; the rest is the caller's to offer again, at the latest on `receiveReady`.
   */
  receive(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, QUEUE_SIZE - this.state.queue.length)
    for (let i = 0; i < taken; i++) this.state.queue.push(bytes[i])
    if (taken < bytes.length) this.state.refused = true
    if (taken > 0) this.#fill()
    return taken
  }

  /** Whether something is plugged in, as DSR and DCD tell the guest. It is when the port is made. */
  setConnected(connected: boolean): void {
    this.#modem = connected ? MODEM_READY : UNPLUGGED
    this.#setModemInputs()
  }

  /** Lets go of what {@link UartOptions.held} kept back, until the next reset. */
  release(): void {
    if (!this.state.held) return
    this.state.held = false
    this.#fill()
  }

  readByte(port: number): number {
    const s = this.state
    const register = port - this.#port
    this.#countPolls(register)
    switch (register) {
      case RBR_THR_DLL:
        return s.lcr & LCR_DLAB ? s.divisor & 0xff : this.#readData()
      case IER_DLM:
        return s.lcr & LCR_DLAB ? s.divisor >> 8 : s.ier
      case IIR_FCR: {
        const source = this.#interruptSource()
        if (source === IIR_THR_EMPTY) {
          s.thrEmptyInterrupt = false
          this.#update()
        }
        return source | (s.fcr & FCR_ENABLE ? IIR_FIFOS_ENABLED : 0)
      }
      case LCR:
        return s.lcr
      case MCR:
        return s.mcr
      case LSR: {
        if (s.polls < POLLS && ++s.polls === POLLS) this.#fill()
        const value = s.lsrErrors | LSR_THRE | LSR_TEMT | (s.fifo.length > 0 ? LSR_DR : 0)
        s.lsrErrors = 0
        this.#update()
        return value
      }
      case MSR: {
        const value = s.msr
        s.msr &= 0xf0
        this.#update()
        return value
      }
      default:
        return s.scr
    }
  }

  writeByte(port: number, value: number): void {
    const s = this.state
    const register = port - this.#port
    this.#countPolls(register)
    switch (register) {
      case RBR_THR_DLL:
        if (s.lcr & LCR_DLAB) s.divisor = (s.divisor & 0xff00) | value
        else this.#transmit(value)
        break
      case IER_DLM:
        if (s.lcr & LCR_DLAB) {
          s.divisor = (s.divisor & 0xff) | (value << 8)
          break
        }
        // The transmitter is always empty, so enabling its interrupt raises it at once.
        if (value & ~s.ier & IER_ETBEI) s.thrEmptyInterrupt = true
        s.ier = value & 0x0f
        this.#fill()
        this.#update()
        break
      case IIR_FCR:
        this.#writeFifoControl(value)
        break
      case LCR:
        if (value & ~s.lcr & LCR_BREAK && s.mcr & MCR_LOOP) this.#loop(0, LSR_BI)
        s.lcr = value
        break
      case MCR:
        this.#writeModemControl(value & 0x1f)
        break
      case SCR:
        s.scr = value
        break
      default:
        // LSR is written in factory tests only, MSR not at all.
        break
    }
  }

  /** Anything between two reads of LSR breaks the row; a guest once known to poll may also read and write data. */
  #countPolls(register: number): void {
    const s = this.state
    if (register === LSR || (register === RBR_THR_DLL && s.polls >= POLLS)) return
    s.polls = 0
  }

  #writeFifoControl(value: number): void {
    const s = this.state
    const switched = ((value ^ s.fcr) & FCR_ENABLE) !== 0
    // Other bits are taken only together with bit 0.
    s.fcr = value & FCR_ENABLE ? value & 0xc9 : 0
    if (switched || (value & FCR_ENABLE && value & FCR_RESET_RECEIVER)) {
      this.#unreceive()
      s.lsrErrors &= ~LSR_FIFO_ERROR
    }
    // Emptying the transmitter FIFO changes nothing: it is empty.
    this.#fill()
    this.#armTimeout()
    this.#update()
  }

  #writeModemControl(value: number): void {
    const s = this.state
    // What came from outside and was not read waits until the loop is open again.
    if (value & ~s.mcr & MCR_LOOP && !s.fifoFromLoop) this.#unreceive()
    s.mcr = value
    this.#setModemInputs()
    this.#fill()
  }

  /** The inputs of the modem lines, from outside or looped back, and what has changed. */
  #setModemInputs(): void {
    const s = this.state
    const { mcr } = s
    let inputs = this.#modem
    if (mcr & MCR_LOOP)
      inputs =
        (mcr & MCR_RTS ? MSR_CTS : 0) |
        (mcr & MCR_DTR ? MSR_DSR : 0) |
        (mcr & MCR_OUT1 ? MSR_RI : 0) |
        (mcr & MCR_OUT2 ? MSR_DCD : 0)
    const changed = s.msr ^ inputs
    // DCTS, DDSR and DDCD tell of any change, TERI of the end of a ring only.
    const deltas = ((changed & (MSR_CTS | MSR_DSR | MSR_DCD)) | (changed & s.msr & MSR_RI)) >> 4
    s.msr = inputs | (s.msr & 0x0f) | deltas
    this.#update()
  }

  #transmit(byte: number): void {
    const s = this.state
    // Writing THR clears the interrupt; that it comes back at once must be an edge, because ISA interrupts are.
    if (s.thrEmptyInterrupt) {
      s.thrEmptyInterrupt = false
      this.#update()
    }
    if (s.mcr & MCR_LOOP) this.#loop(byte, 0)
    else this.#endpoint.transmit(byte)
    s.thrEmptyInterrupt = true
    if (s.ier & IER_ETBEI) this.#update()
  }

  /** A character comes back in loopback, and may overrun like any other. */
  #loop(byte: number, errors: number): void {
    const s = this.state
    if (s.fifo.length >= this.#capacity()) {
      s.lsrErrors |= LSR_OE
      if ((s.fcr & FCR_ENABLE) === 0) s.fifo = [byte]
    } else s.fifo.push(byte)
    s.fifoFromLoop = true
    s.lsrErrors |= errors
    this.#armTimeout()
    this.#update()
  }

  #readData(): number {
    const s = this.state
    // Without the FIFO the buffer register keeps what was read last.
    if (s.fifo.length === 0) return s.fcr & FCR_ENABLE ? 0 : s.lastRead
    const byte = s.fifo.shift()!
    s.lastRead = byte
    s.timeoutInterrupt = false
    if (s.fifo.length === 0) s.fifoFromLoop = false
    this.#fill()
    this.#armTimeout()
    this.#update()
    return byte
  }

  #capacity(): number {
    return this.state.fcr & FCR_ENABLE ? FIFO_SIZE : 1
  }

  /** The time of one character in nanoseconds, from the divisor of the 1.8432 MHz clock and the frame. */
  #characterTime(): number {
    const { lcr, divisor } = this.state
    const bits = 1 + 5 + (lcr & 3) + (lcr & LCR_PARITY ? 1 : 0) + (lcr & LCR_STOP ? 2 : 1)
    return bits * (divisor || 0x10000) * (1e9 / 115200)
  }

  /** Puts unread bytes back on the wire; those of a loopback are lost. */
  #unreceive(): void {
    const s = this.state
    if (!s.fifoFromLoop) s.queue.unshift(...s.fifo)
    s.fifo = []
    s.fifoFromLoop = false
    s.timeoutInterrupt = false
    this.#timeoutTimer.cancel()
  }

  /**
   * The guest listens: its receive interrupt is on or it polls, and it does not hold the sender off by RTS. Before that
   * a byte would meet drivers that read the port dry while they set it up.
   */
  #listening(): boolean {
    const { ier, mcr, polls, held } = this.state
    if (held || mcr & MCR_LOOP) return false
    return ((ier & IER_ERBFI) !== 0 && (mcr & (MCR_DTR | MCR_RTS)) !== MCR_DTR) || polls >= POLLS
  }

  /** Moves bytes from the wire to an empty FIFO, at the rate of the line. */
  #fill(): void {
    const s = this.state
    if (s.queue.length === 0 || s.fifo.length > 0 || !this.#listening()) return
    const now = this.#clock.now()
    if (now < s.receiveAt) {
      this.#receiveTimer.arm(s.receiveAt)
      return
    }
    s.fifo = s.queue.splice(0, this.#capacity())
    s.fifoFromLoop = false
    s.receiveAt = Math.max(s.receiveAt, now - CATCH_UP) + s.fifo.length * this.#characterTime()
    this.#armTimeout()
    this.#update()
    if (s.refused && s.queue.length <= QUEUE_SIZE / 2) {
      s.refused = false
      this.#endpoint.receiveReady?.()
    }
  }

  /** The character timeout: four character times with bytes in the FIFO below its trigger level. */
  #armTimeout(): void {
    const s = this.state
    if (s.fcr & FCR_ENABLE && s.fifo.length > 0 && s.fifo.length < FCR_TRIGGER[s.fcr >> 6])
      this.#timeoutTimer.arm(this.#clock.now() + 4 * this.#characterTime())
    else this.#timeoutTimer.cancel()
  }

  /** The pending interrupt of highest priority (data sheet, table 4). */
  #interruptSource(): number {
    const s = this.state
    if (s.ier & IER_ELSI && s.lsrErrors) return IIR_LINE_STATUS
    if (s.ier & IER_ERBFI) {
      if (s.fifo.length >= (s.fcr & FCR_ENABLE ? FCR_TRIGGER[s.fcr >> 6] : 1)) return IIR_DATA_AVAILABLE
      if (s.timeoutInterrupt) return IIR_TIMEOUT
    }
    if (s.ier & IER_ETBEI && s.thrEmptyInterrupt) return IIR_THR_EMPTY
    if (s.ier & IER_EDSSI && s.msr & 0x0f) return IIR_MODEM_STATUS
    return IIR_NONE
  }

  #update(): void {
    const gated = this.#out2Gate && (this.state.mcr & MCR_OUT2) === 0
    this.#line.set(!gated && this.#interruptSource() !== IIR_NONE)
  }
}

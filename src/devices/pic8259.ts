import type { Bus, Device, InterruptLine } from './bus.ts'
import { attachBytes } from './registers.ts'

/** Ports of the pair and of the edge/level control registers (PIIX4 datasheet, 82371AB, chapter 4). */
const MASTER = 0x20
const SLAVE = 0xa0
const ELCR = 0x4d0

const ICW1_IC4 = 1
const ICW1_SNGL = 2
const ICW1_LTIM = 8
const ICW1 = 0x10
const ICW4_AEOI = 2
const ICW4_SFNM = 0x10
const OCW3 = 8
const OCW3_RIS = 1
const OCW3_RR = 2
const OCW3_POLL = 4
const OCW3_SMM = 0x20
const OCW3_ESMM = 0x40

/** The master's input that the slave is wired to. */
const CASCADE = 2
/** IRQs whose ELCR bits cannot be set: timer, keyboard and cascade; RTC and coprocessor on the slave. */
const ELCR_MASK = [0xf8, 0xde]

interface ChipState {
  irr: number
  isr: number
  imr: number
  /** Levels of the inputs. */
  lines: number
  elcr: number
  /** ICW2's bits 7:3. */
  vectorBase: number
  /** 0 when initialised, else the number of the ICW that is expected next. */
  expects: number
  icw1: number
  icw4: number
  rotateInAutoEoi: boolean
  specialMask: boolean
  readIsr: boolean
  poll: boolean
  /** The input of lowest priority. */
  lowest: number
}

/** One 8259A (Intel 8259A data sheet). Its interrupt output follows from its state. */
class Chip {
  state: ChipState = Chip.initial(0)

  static initial(elcr: number): ChipState {
    return {
      irr: 0,
      isr: 0,
      imr: 0xff,
      lines: 0,
      elcr,
      vectorBase: 0,
      expects: 0,
      icw1: ICW1,
      icw4: 0,
      rotateInAutoEoi: false,
      specialMask: false,
      readIsr: false,
      poll: false,
      lowest: 7,
    }
  }

  /** The unmasked request that may interrupt what is in service, or -1. */
  requested(cascadeNests: boolean): number {
    const s = this.state
    const requests = s.irr & ~s.imr
    if (requests === 0) return -1
    // In special mask mode a masked input's service does not hold lower ones off.
    const inService = s.specialMask ? s.isr & ~s.imr : s.isr
    for (let i = 1; i <= 8; i++) {
      const input = (s.lowest + i) & 7
      const requesting = (requests & (1 << input)) !== 0
      if (inService & (1 << input)) {
        // In special fully nested mode the slave in service may interrupt again.
        const nests = cascadeNests && input === CASCADE && (s.icw4 & ICW4_SFNM) !== 0
        return nests && requesting ? input : -1
      }
      if (requesting) return input
    }
    return -1
  }

  /** Drives an input. An edge stays latched until it is acknowledged; a level is not. */
  setLine(input: number, level: boolean): void {
    const s = this.state
    const bit = 1 << input
    const levelTriggered = (s.elcr & bit) !== 0 || (s.icw1 & ICW1_LTIM) !== 0
    if (level) {
      if (levelTriggered || (s.lines & bit) === 0) s.irr |= bit
      s.lines |= bit
    } else {
      if (levelTriggered) s.irr &= ~bit
      s.lines &= ~bit
    }
  }

  /** The second INTA cycle: the input goes into service. */
  acknowledge(input: number): void {
    const s = this.state
    const bit = 1 << input
    if ((s.elcr & bit) === 0 && (s.icw1 & ICW1_LTIM) === 0) s.irr &= ~bit
    if (s.icw4 & ICW4_AEOI) {
      if (s.rotateInAutoEoi) s.lowest = input
    } else s.isr |= bit
  }

  command(value: number): void {
    const s = this.state
    if (value & ICW1) {
      s.icw1 = value
      s.icw4 = 0
      s.imr = 0
      s.isr = 0
      // The edge sense circuit is reset: an input must rise again. Levels request at once.
      s.irr = value & ICW1_LTIM ? s.lines : s.lines & s.elcr
      s.lowest = 7
      s.specialMask = false
      s.readIsr = false
      s.poll = false
      s.rotateInAutoEoi = false
      s.expects = 2
      return
    }
    if (value & OCW3) {
      if (value & OCW3_POLL) s.poll = true
      if (value & OCW3_RR) s.readIsr = (value & OCW3_RIS) !== 0
      if (value & OCW3_ESMM) s.specialMask = (value & OCW3_SMM) !== 0
      return
    }
    const input = value & 7
    switch (value >> 5) {
      case 0:
      case 4:
        s.rotateInAutoEoi = value >> 5 === 4
        break
      case 1:
      case 5: {
        const highest = this.#highestInService()
        if (highest < 0) break
        s.isr &= ~(1 << highest)
        if (value >> 5 === 5) s.lowest = highest
        break
      }
      case 3:
      case 7:
        s.isr &= ~(1 << input)
        if (value >> 5 === 7) s.lowest = input
        break
      case 6:
        s.lowest = input
        break
      default:
        break
    }
  }

  #highestInService(): number {
    const s = this.state
    const inService = s.specialMask ? s.isr & ~s.imr : s.isr
    for (let i = 1; i <= 8; i++) {
      const input = (s.lowest + i) & 7
      if (inService & (1 << input)) return input
    }
    return -1
  }

  data(value: number): void {
    const s = this.state
    switch (s.expects) {
      case 2:
        s.vectorBase = value & 0xf8
        s.expects = s.icw1 & ICW1_SNGL ? (s.icw1 & ICW1_IC4 ? 4 : 0) : 3
        break
      case 3:
        // How the chips are wired is a matter of the board.
        s.expects = s.icw1 & ICW1_IC4 ? 4 : 0
        break
      case 4:
        s.icw4 = value
        s.expects = 0
        break
      default:
        s.imr = value
        break
    }
  }
}

/** What of a pair of 8259As is saved. */
interface PicState {
  master: ChipState
  slave: ChipState
}

/**
 * The PC's two 8259A interrupt controllers, the slave on the master's input 2, with the edge/level control registers.
 * Inputs are numbered 0 to 15; input 2 does not exist.
 */
export class Pic8259 implements Device {
  readonly name = 'pic'
  readonly version = 1
  readonly #chips = [new Chip(), new Chip()]
  readonly #output: InterruptLine
  #driven = false

  /**
   * @param output the INTR wire: to the processor, or to LINT0 of local APICs.
   * @throws if the ports 20h, 21h, a0h, a1h, 4d0h, 4d1h are taken.
   */
  constructor(bus: Bus, output: InterruptLine) {
    this.#output = output
    attachBytes(bus, MASTER, 2, this)
    attachBytes(bus, SLAVE, 2, this)
    attachBytes(bus, ELCR, 2, this)
  }

  get state(): PicState {
    return { master: this.#chips[0].state, slave: this.#chips[1].state }
  }

  set state(state: PicState) {
    this.#chips[0].state = state.master
    this.#chips[1].state = state.slave
  }

  reset(): void {
    for (const chip of this.#chips) chip.state = { ...Chip.initial(0), lines: chip.state.lines }
    this.#update()
  }

  restored(): void {
    this.#driven = this.#level()
    this.#output.set(this.#driven)
  }

  /** The level of the INTR output. */
  get output(): boolean {
    return this.#driven
  }

  /** Drives input `irq`, 0 to 15. */
  setLine(irq: number, level: boolean): void {
    if (irq === CASCADE) return
    this.#chips[irq >> 3].setLine(irq & 7, level)
    this.#update()
  }

  /** The interrupt acknowledge cycles: the vector, that of the spurious IRQ 7 or 15 if the request has gone. */
  acknowledge(): number {
    const [master, slave] = this.#chips
    const input = master.requested(true)
    let vector: number
    if (input < 0) vector = master.state.vectorBase | 7
    else if (input === CASCADE) {
      master.acknowledge(CASCADE)
      const second = slave.requested(false)
      if (second >= 0) slave.acknowledge(second)
      vector = slave.state.vectorBase | (second < 0 ? 7 : second)
    } else {
      master.acknowledge(input)
      vector = master.state.vectorBase | input
    }
    this.#update()
    return vector
  }

  readByte(port: number): number {
    if (port >= ELCR) return this.#chips[port - ELCR].state.elcr
    const chip = this.#chips[port >= SLAVE ? 1 : 0]
    const s = chip.state
    if (s.poll) {
      s.poll = false
      const input = chip.requested(chip === this.#chips[0])
      if (input < 0) return 0
      chip.acknowledge(input)
      this.#update()
      return 0x80 | input
    }
    if (port & 1) return s.imr
    return s.readIsr ? s.isr : s.irr
  }

  writeByte(port: number, value: number): void {
    if (port >= ELCR) {
      const s = this.#chips[port - ELCR].state
      const elcr = value & ELCR_MASK[port - ELCR]
      // An input that becomes level triggered requests while it is high, one that becomes edge triggered not at all.
      s.irr = (s.irr & ~(elcr ^ s.elcr)) | (elcr & ~s.elcr & s.lines)
      s.elcr = elcr
    } else {
      const chip = this.#chips[port >= SLAVE ? 1 : 0]
      if (port & 1) chip.data(value)
      else chip.command(value)
    }
    this.#update()
  }

  #level(): boolean {
    const [master] = this.#chips
    return master.state.expects === 0 && master.requested(true) >= 0
  }

  #update(): void {
    const [master, slave] = this.#chips
    // The slave's output is a level on the master's input 2, which the ELCR cannot say: it requests while it is there.
    const cascaded = slave.requested(false) >= 0
    const s = master.state
    const bit = 1 << CASCADE
    s.irr = cascaded ? s.irr | bit : s.irr & ~bit
    const level = this.#level()
    if (level === this.#driven) return
    this.#driven = level
    this.#output.set(level)
  }
}

import type { Bus, Clock, Device, InterruptLine, PortRegion, Timer } from './bus.ts'
import { attachBytes, byteRegisters } from './registers.ts'
import { PM_TIMER_RATE } from './ticks.ts'

/** Where the registers are unless the PIIX4's power management base moves them. The ACPI tables say the same. */
export const PM_BASE = 0x600
/** Offsets within the block and its length (ACPI 6.5, chapter 4.8). */
export const PM1_EVENT = 0
export const PM1_CONTROL = 4
export const PM_TIMER = 8
export const GPE0 = 0x20
/** Bytes of the GPE block: half status, half enable. */
export const GPE0_LENGTH = 4
const PM_LENGTH = 0x40
/** The ICH9's SMI enable register, which the PIIX4 has not; APMC_EN says that the SMI command port is answered. */
const SMI_EN = 0x30
const SMI_EN_APMC = 0x20

/** The port that switches between legacy and ACPI mode, and the values the FADT gives for it. */
export const SMI_COMMAND = 0xb2
export const ACPI_ENABLE = 0xf1
export const ACPI_DISABLE = 0xf0
/** The interrupt of ACPI events. */
export const SCI_IRQ = 9
/** SLP_TYP values of the sleep states, for the `\_Sx` objects. */
export const SLEEP_TYPE = { S5: 0, S3: 1, S4: 2, S1: 3 } as const

const TMR_STS = 1
const PWRBTN_STS = 0x100
const RTC_STS = 0x400
const WAK_STS = 0x8000
/** TMR, BM, GBL, PWRBTN, SLPBTN, RTC, WAK. */
const PM1_STATUS_BITS = TMR_STS | 0x10 | 0x20 | PWRBTN_STS | 0x200 | RTC_STS | WAK_STS
const PM1_ENABLE_BITS = TMR_STS | 0x20 | PWRBTN_STS | 0x200 | RTC_STS
const SCI_EN = 1
/** SCI_EN, BM_RLD, SLP_TYP. */
const PM1_CONTROL_BITS = 0x1c03
const SLP_EN = 0x2000
const SLP_TYP_SHIFT = 10

/** TMR_STS is set when the timer's highest bit changes. */
const TIMER_HALF = 2 ** 31

/** What happens when the guest puts the machine to sleep. */
export interface AcpiPmOptions {
  /** The guest has switched the machine off (S5). Called within a port write. */
  onPowerOff(): void
}

interface AcpiPmState {
  base: number | undefined
  status: number
  enable: number
  control: number
  gpe: number[]
  smiCommand: number
  smiData: number
  smiEnable: number
  /** Changes of the timer's highest bit that have been seen. */
  seenHalves: number
}

/** ACPI fixed hardware as in the PIIX4: event and control registers, the 3.579545 MHz timer, a GPE block, the SCI. */
export class AcpiPm implements Device {
  readonly name = 'acpi-pm'
  readonly version = 2
  state: AcpiPmState = this.#initial()
  readonly #bus: Bus
  readonly #clock: Clock
  readonly #options: AcpiPmOptions
  readonly #line: InterruptLine
  readonly #timer: Timer
  readonly #region: PortRegion

  /** @throws if ports 600h–63fh, b2h or b3h are taken. */
  constructor(bus: Bus, options: AcpiPmOptions) {
    this.#bus = bus
    this.#clock = bus.clock
    this.#options = options
    this.#line = bus.interrupt(SCI_IRQ)
    this.#timer = bus.clock.timer(() => this.#update())
    this.#region = bus.ports(PM_BASE, PM_LENGTH, {
      readPort: (port, size) => {
        const offset = port - (this.state.base ?? 0)
        // The timer is read as a whole.
        if (offset === PM_TIMER && size === 4) return PM_TIMER_RATE.at(this.#clock.poll()) % 2 ** 32
        return this.#bytes.readPort(offset, size)
      },
      writePort: (port, size, value) => this.#bytes.writePort(port - (this.state.base ?? 0), size, value),
    })
    attachBytes(bus, SMI_COMMAND, 2, {
      readByte: port => (port === SMI_COMMAND ? this.state.smiCommand : this.state.smiData),
      writeByte: (port, value) => this.#smi(port, value),
    })
  }

  #initial(): AcpiPmState {
    return {
      base: PM_BASE,
      status: 0,
      enable: 0,
      control: 0,
      gpe: new Array(GPE0_LENGTH).fill(0),
      smiCommand: 0,
      smiData: 0,
      smiEnable: SMI_EN_APMC,
      seenHalves: 0,
    }
  }

  reset(): void {
    this.state = this.#initial()
    this.state.seenHalves = this.#halves()
    this.#region.move(PM_BASE)
    this.#update()
  }

  restored(): void {
    this.#region.move(this.state.base)
    this.#update()
  }

  /** The chipset's power management base was written: the block's first port, or undefined while it is off. */
  move(base: number | undefined): void {
    this.state.base = base
    this.#region.move(base)
  }

  /** Someone pressed the power button. A guest that has ACPI on is asked to shut down. */
  pressPowerButton(): void {
    this.state.status |= PWRBTN_STS
    this.#update()
  }

  /** Raises general-purpose event `event`, 0 to 15. */
  raiseEvent(event: number): void {
    this.state.gpe[event >> 3] |= 1 << (event & 7)
    this.#update()
  }

  readonly #bytes = byteRegisters(0, PM_LENGTH, {
    readByte: offset => this.#read(offset),
    writeByte: (offset, value) => this.#write(offset, value),
  })

  #ticks(): number {
    return PM_TIMER_RATE.at(this.#clock.now())
  }

  #halves(): number {
    return Math.floor(this.#ticks() / TIMER_HALF)
  }

  #read(offset: number): number {
    const s = this.state
    const shift = 8 * (offset & 1)
    switch (offset & ~1) {
      case PM1_EVENT:
        this.#update()
        return (s.status >> shift) & 0xff
      case PM1_EVENT + 2:
        return (s.enable >> shift) & 0xff
      case PM1_CONTROL:
        return (s.control >> shift) & 0xff
      case PM_TIMER:
      case PM_TIMER + 2:
        return Math.floor(this.#ticks() / 2 ** (8 * (offset - PM_TIMER))) % 256
      default:
        if (offset >= GPE0 && offset < GPE0 + GPE0_LENGTH) return s.gpe[offset - GPE0]
        if (offset >= SMI_EN && offset < SMI_EN + 4) return (s.smiEnable >>> (8 * (offset - SMI_EN))) & 0xff
        this.#unknown(offset)
        return 0
    }
  }

  #write(offset: number, value: number): void {
    const s = this.state
    const shift = 8 * (offset & 1)
    const merge = (old: number) => (old & ~(0xff << shift)) | (value << shift)
    switch (offset & ~1) {
      case PM1_EVENT:
        this.#update()
        s.status &= ~((value << shift) & PM1_STATUS_BITS)
        break
      case PM1_EVENT + 2:
        s.enable = merge(s.enable) & PM1_ENABLE_BITS
        break
      case PM1_CONTROL: {
        const written = merge(s.control)
        s.control = written & PM1_CONTROL_BITS
        if (shift === 8 && written & SLP_EN) this.#sleep((written >> SLP_TYP_SHIFT) & 7)
        break
      }
      default:
        if (offset >= GPE0 && offset < GPE0 + GPE0_LENGTH / 2) s.gpe[offset - GPE0] &= ~value
        else if (offset >= GPE0 && offset < GPE0 + GPE0_LENGTH) s.gpe[offset - GPE0] = value
        else if (offset >= SMI_EN && offset < SMI_EN + 4) {
          const at = 8 * (offset - SMI_EN)
          s.smiEnable = ((s.smiEnable & ~(0xff << at)) | (value << at)) >>> 0
        } else if (offset >= PM1_CONTROL + 2) this.#unknown(offset)
    }
    this.#update()
  }

  #unknown(offset: number): void {
    this.#bus.logOnce(`acpi ${offset}`, `ACPI: there is no register at offset 0x${offset.toString(16)} of the block`)
  }

  #sleep(type: number): void {
    if (type === SLEEP_TYPE.S5) this.#options.onPowerOff()
    else this.#bus.logOnce(`acpi sleep ${type}`, `ACPI: sleep type ${type} is not supported and is ignored`)
  }

  /** System management mode would answer; what a driver sees of it is only that SCI_EN changes. */
  #smi(port: number, value: number): void {
    const s = this.state
    if (port !== SMI_COMMAND) {
      s.smiData = value
      return
    }
    s.smiCommand = value
    if (value === ACPI_ENABLE) s.control |= SCI_EN
    else if (value === ACPI_DISABLE) s.control &= ~SCI_EN
    else this.#bus.logOnce(`smi ${value}`, `SMI command 0x${value.toString(16)} is ignored`)
    this.#update()
  }

  #update(): void {
    const s = this.state
    const halves = this.#halves()
    if (halves !== s.seenHalves) s.status |= TMR_STS
    s.seenHalves = halves
    let event = (s.status & s.enable) !== 0
    for (let i = 0; i < GPE0_LENGTH / 2; i++) event ||= (s.gpe[i] & s.gpe[i + GPE0_LENGTH / 2]) !== 0
    this.#line.set(event && (s.control & SCI_EN) !== 0)
    if (s.enable & TMR_STS && (s.status & TMR_STS) === 0)
      this.#timer.arm(PM_TIMER_RATE.timeOf((halves + 1) * TIMER_HALF))
    else this.#timer.cancel()
  }
}

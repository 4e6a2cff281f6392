import type { Bus, Device, Timer } from './bus.ts'
import { PciFunction } from './pci-function.ts'

const VENDOR_INTEL = 0x8086
const DEVICE_WATCHDOG = 0x25ab
/** System peripheral, other. */
const CLASS = 0x088000

/** Configuration space (Intel 6300ESB data sheet, 16.3). */
const WDT_CONFIG = 0x60
const WDT_LOCK = 0x68
const CONFIG_FAST = 0x04
const CONFIG_NO_OUTPUT = 0x20
const LOCK = 1
const ENABLE = 2
const FREE_RUNNING = 4

/** Memory-mapped registers (16.4). */
const PRELOAD_1 = 0x0
const PRELOAD_2 = 0x4
const INTERRUPT_STATUS = 0x8
const RELOAD = 0xc
const REGISTERS = 16
const PRELOAD_BITS = 0xfffff
const RELOAD_NOW = 0x100
const TIMED_OUT = 0x200
const UNLOCK = [0x80, 0x86] as const

/** PCI's clock, and by how much it is divided for a tick. */
const PCI_HERTZ = 33_000_000
const SLOW = 2 ** 15
const FAST = 2 ** 5
/** A stage takes no less, whatever a guest asks for: nanoseconds. */
const SHORTEST = 100_000

interface WatchdogState {
  preload: [number, number]
  /** How many of the unlocking bytes have come; two allow one write. */
  unlocked: number
  /** Guest time at which the stage ends, and which it is: 0 while the timer does not run. */
  deadline: number
  stage: 0 | 1 | 2
  interrupt: boolean
  /** It reset the machine; outlasts that. */
  timedOut: boolean
}

/**
 * The watchdog of Intel's 6300ESB, a PCI function of its own, which systems have drivers for: it counts down in two stages unless a system
 * reloads it. The end of the first sets a status bit (its interrupts, which no driver uses, are not there), that of the second resets
 * the machine.
 */
export class I6300Esb implements Device {
  readonly name = 'i6300esb'
  readonly version = 1
  readonly function: PciFunction
  #state = initial()
  readonly #bus: Bus
  readonly #onReset: () => void
  readonly #alarm: Timer

  /** @param onReset the second stage has ended, and the output that resets the machine is enabled */
  constructor(bus: Bus, onReset: () => void) {
    this.#bus = bus
    this.#onReset = onReset
    this.#alarm = bus.clock.timer(() => this.#stageEnds())
    this.function = new PciFunction(bus, {
      name: 'i6300esb-pci',
      vendorId: VENDOR_INTEL,
      deviceId: DEVICE_WATCHDOG,
      classCode: CLASS,
      registers: [
        { name: 'WDT_CONFIG', offset: WDT_CONFIG, size: 2, writable: 0x27 },
        { name: 'WDT_LOCK', offset: WDT_LOCK, size: 1, writable: LOCK | ENABLE | FREE_RUNNING },
      ],
      bars: [
        {
          kind: 'memory',
          size: REGISTERS,
          handler: {
            readMmio: (offset, size) => (this.#read(offset & ~3) >>> (8 * (offset & 3))) & mask(size),
            writeMmio: (offset, _size, value) => this.#write(offset, value),
          },
        },
      ],
      onWrite: offset => {
        if (offset <= WDT_LOCK && offset + 4 > WDT_LOCK) this.#lockWritten()
      },
    })
  }

  get state(): { watchdog: WatchdogState; locked: number; pci: PciFunction['state'] } {
    return { watchdog: this.#state, locked: this.#lock, pci: this.function.state }
  }

  set state(state: { watchdog: WatchdogState; locked: number; pci: PciFunction['state'] }) {
    this.#state = state.watchdog
    this.#lock = state.locked
    this.function.state = state.pci
  }

  /** The lock register as it is obeyed. */
  #lock = 0

  reset(): void {
    this.#state = { ...initial(), timedOut: this.#state.timedOut }
    this.#lock = 0
    this.#alarm.cancel()
    this.function.reset()
  }

  restored(): void {
    this.function.restored()
    if (this.#state.stage === 0) this.#alarm.cancel()
    else this.#alarm.arm(this.#state.deadline)
  }

  #lockWritten(): void {
    const { config } = this.function.state
    if ((this.#lock & LOCK) !== 0) {
      config[WDT_LOCK] = this.#lock
      return
    }
    const before = this.#lock
    this.#lock = config[WDT_LOCK]
    if ((this.#lock & ENABLE) === 0) {
      this.#state.stage = 0
      this.#alarm.cancel()
    } else if ((before & ENABLE) === 0) this.#start(1)
  }

  #start(stage: 1 | 2): void {
    const s = this.#state
    const divisor = (this.function.state.config[WDT_CONFIG] & CONFIG_FAST) === 0 ? SLOW : FAST
    s.stage = stage
    const length = (s.preload[stage - 1] * divisor * 1e9) / PCI_HERTZ
    s.deadline = this.#bus.clock.now() + Math.max(SHORTEST, length)
    this.#alarm.arm(s.deadline)
  }

  #stageEnds(): void {
    const s = this.#state
    if (s.stage === 1) {
      s.interrupt = true
      this.#start(2)
      return
    }
    this.#start(1)
    if ((this.#lock & FREE_RUNNING) !== 0 || (this.function.state.config[WDT_CONFIG] & CONFIG_NO_OUTPUT) !== 0) return
    s.timedOut = true
    this.#onReset()
  }

  #read(offset: number): number {
    const s = this.#state
    if (offset === INTERRUPT_STATUS) return s.interrupt ? 1 : 0
    if (offset === PRELOAD_1 || offset === PRELOAD_2) return s.preload[offset === PRELOAD_1 ? 0 : 1]
    return offset === RELOAD && s.timedOut ? TIMED_OUT : 0
  }

  #write(offset: number, value: number): void {
    const s = this.#state
    if (offset === INTERRUPT_STATUS) {
      if ((value & 1) !== 0) s.interrupt = false
      return
    }
    if (s.unlocked < 2) {
      const expected = offset === RELOAD && value === UNLOCK[s.unlocked]
      s.unlocked = expected ? s.unlocked + 1 : offset === RELOAD && value === UNLOCK[0] ? 1 : 0
      return
    }
    s.unlocked = 0
    if (offset === PRELOAD_1) s.preload[0] = value & PRELOAD_BITS
    else if (offset === PRELOAD_2) s.preload[1] = value & PRELOAD_BITS
    else if (offset === RELOAD) {
      if ((value & TIMED_OUT) !== 0) s.timedOut = false
      if ((value & RELOAD_NOW) !== 0 && s.stage !== 0) this.#start(1)
    }
  }
}

const mask = (size: number) => (size === 4 ? 0xffffffff : 2 ** (8 * size) - 1)

function initial(): WatchdogState {
  return {
    preload: [PRELOAD_BITS, PRELOAD_BITS],
    unlocked: 0,
    deadline: 0,
    stage: 0,
    interrupt: false,
    timedOut: false,
  }
}

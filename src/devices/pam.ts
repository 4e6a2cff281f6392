/** What the host bridges of the 440FX and the Q35 have alike: which memory answers below 1 MiB. */
import type { AccessSize } from './bus.ts'
import type { ConfigRegister, PciFunction } from './pci-function.ts'

/** PAM0 to PAM6. */
const PAMS = 7
const SMRAM_LOCKED = 0x10
const SMRAM_OPEN = 0x40
/** RAM is read and written. */
const BOTH = 0x33

/** The registers PAM0 to PAM6 and SMRAM of a host bridge at the offsets where it has them. */
export class ShadowRegisters {
  readonly #pam0: number
  readonly #smramAt: number
  readonly #onShadow: ((registers: Uint8Array) => void) | undefined
  #function: PciFunction | undefined
  /** SMRAM as it was before a write. */
  #smram = 0

  constructor(pam0: number, smram: number, onShadow: ((registers: Uint8Array) => void) | undefined) {
    this.#pam0 = pam0
    this.#smramAt = smram
    this.#onShadow = onShadow
  }

  /** The registers' declarations. */
  get registers(): ConfigRegister[] {
    const pam = Array.from(
      { length: PAMS },
      (_, i): ConfigRegister => ({
        name: `PAM${i}`,
        offset: this.#pam0 + i,
        size: 1,
        writable: i === 0 ? 0xf0 : 0xff,
      }),
    )
    return [...pam, { name: 'SMRAM', offset: this.#smramAt, size: 1, value: 2, writable: 0x78 }]
  }

  /** Says whose configuration space they are in. */
  attach(hostBridge: PciFunction): void {
    this.#function = hostBridge
    this.#smram = hostBridge.state.config[this.#smramAt]
  }

  /** Configuration space was written. */
  written(offset: number, size: AccessSize): void {
    const smram = offset <= this.#smramAt && offset + size > this.#smramAt
    if (smram) this.#lock()
    if (smram || (offset < this.#pam0 + PAMS && offset + size > this.#pam0)) this.#update()
  }

  /** Configuration space was reset or restored. */
  replaced(): void {
    if (this.#function) this.#smram = this.#function.state.config[this.#smramAt]
    this.#update()
  }

  /** Lets RAM answer wherever there is some, as firmware leaves it. */
  open(): void {
    for (let i = 0; i < PAMS; i++) this.#function?.write(this.#pam0 + i, 1, BOTH)
  }

  /** Once locked, SMRAM stays as it is until RESET#, and its RAM is closed. */
  #lock(): void {
    const { config } = this.#function!.state
    const at = this.#smramAt
    if (this.#smram & SMRAM_LOCKED) config[at] = this.#smram
    else if (config[at] & SMRAM_LOCKED) config[at] &= ~SMRAM_OPEN
    this.#smram = config[at]
  }

  #update(): void {
    if (this.#function === undefined) return
    const { config } = this.#function.state
    this.#onShadow?.(Uint8Array.of(...config.subarray(this.#pam0, this.#pam0 + PAMS), config[this.#smramAt]))
  }
}

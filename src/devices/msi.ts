import type { AccessSize } from './bus.ts'
import type { MessageSignal } from './msix.ts'
import { PCI_CONFIG, type PciCapability, type PciFunction } from './pci-function.ts'

/** The capability's ID (PCI Local Bus Specification 3.0, 6.8.1). */
export const MSI_CAPABILITY = 0x05
/** Offsets within the capability, for 64-bit addresses and with per-vector masking. */
const CONTROL = 2
const ADDRESS_LOW = 4
const ADDRESS_HIGH = 8
const DATA = 0x0c
const MASK = 0x10
const PENDING = 0x14
const LENGTH = 0x18

const CONTROL_ENABLE = 1
const CONTROL_64_BIT = 0x80
const CONTROL_MASKING = 0x100

/** MSI for a function: up to 32 vectors, a 64-bit address, per-vector masks. All of its state is configuration space. */
export class Msi {
  readonly #vectors: number
  readonly #send: MessageSignal
  #function: PciFunction | undefined

  /** @throws if the number of vectors is not a power of two up to 32. */
  constructor(vectors: number, send: MessageSignal) {
    if (![1, 2, 4, 8, 16, 32].includes(vectors))
      throw new Error(`MSI: ${vectors} vectors are not a power of two from 1 to 32`)
    this.#vectors = vectors
    this.#send = send
  }

  /** The entry for the function's capabilities list. */
  capability(): PciCapability {
    const control = (Math.log2(this.#vectors) << 1) | CONTROL_64_BIT | CONTROL_MASKING
    const bytes = new Array<number>(LENGTH - 2).fill(0)
    const writable = new Array<number>(LENGTH - 2).fill(0)
    bytes[CONTROL - 2] = control & 0xff
    bytes[CONTROL - 1] = control >> 8
    writable[CONTROL - 2] = CONTROL_ENABLE | 0x70
    writable.fill(0xff, ADDRESS_LOW - 2, DATA)
    writable[ADDRESS_LOW - 2] = 0xfc
    for (let vector = 0; vector < this.#vectors; vector++) writable[MASK - 2 + (vector >> 3)] |= 1 << (vector & 7)
    return { id: MSI_CAPABILITY, bytes, writable }
  }

  /** Says which function's capability it is. */
  attach(pciFunction: PciFunction): void {
    this.#function = pciFunction
  }

  get #at(): number {
    return this.#function?.capability(MSI_CAPABILITY) ?? 0
  }

  /** MSI is on, and INTx is not used. */
  get enabled(): boolean {
    const at = this.#at
    return at !== 0 && (this.#function!.state.config[at + CONTROL] & CONTROL_ENABLE) !== 0
  }

  /** How many vectors the guest lets the function use: a power of two. */
  get vectors(): number {
    const at = this.#at
    if (at === 0) return 0
    return Math.min(this.#vectors, 1 << ((this.#function!.state.config[at + CONTROL] >> 4) & 7))
  }

  /** Interrupts by a vector, now or when it is unmasked. One that is not granted shares the last that is. */
  notify(vector: number): void {
    if (!this.enabled) return
    const granted = Math.min(vector, this.vectors - 1)
    const { config } = this.#function!.state
    config[this.#at + PENDING + (granted >> 3)] |= 1 << (granted & 7)
    this.#deliver()
  }

  /** The function's configuration space was written: a mask may have gone, or the function be bus master now. */
  configWritten(offset: number, size: AccessSize): void {
    const at = this.#at
    const own = offset < at + LENGTH && offset + size > at
    const command = offset + size > PCI_CONFIG.COMMAND && offset < PCI_CONFIG.STATUS
    if (at !== 0 && (own || command)) this.#deliver()
  }

  #deliver(): void {
    const f = this.#function
    if (f === undefined || !this.enabled || !f.busMaster) return
    const at = this.#at
    const { vectors } = this
    const ready = f.read32(at + PENDING) & ~f.read32(at + MASK)
    for (let vector = 0; vector < vectors; vector++) {
      if ((ready & (1 << vector)) === 0) continue
      f.state.config[at + PENDING + (vector >> 3)] &= ~(1 << (vector & 7))
      const data = (f.read16(at + DATA) & ~(vectors - 1)) | vector
      this.#send(f.read32(at + ADDRESS_LOW), f.read32(at + ADDRESS_HIGH), data)
    }
  }
}

import type { AccessSize, MmioHandler } from './bus.ts'
import { PCI_CONFIG, type PciCapability, type PciFunction } from './pci-function.ts'
import { dwordRegisters } from './registers.ts'

/** The capability's ID (PCI Local Bus Specification 3.0, 6.8.2). */
export const MSIX_CAPABILITY = 0x11
const CONTROL_ENABLE = 0x8000
const CONTROL_MASK = 0x4000
const ENTRY_BYTES = 16
const VECTOR_MASKED = 1
/** Where the pending bits are, relative to the table. */
const PENDING_OFFSET = 0x800

/** Sends a message-signalled interrupt: 32 bits of data to an address. */
export type MessageSignal = (addressLow: number, addressHigh: number, data: number) => void

/** The saved part: the table's words and the vectors that wait for their mask to go. */
export interface MsiXState {
  table: number[]
  pending: boolean[]
}

/** MSI-X for a function: table and pending bits in 4 KiB of a memory BAR, at most 128 vectors. */
export class MsiX {
  state: MsiXState
  /** Answers the BAR's 4 KiB. */
  readonly handler: MmioHandler
  readonly #vectors: number
  readonly #send: MessageSignal
  #function: PciFunction | undefined

  /** @throws if there are more than 128 vectors. */
  constructor(vectors: number, send: MessageSignal) {
    if (vectors < 1 || vectors > PENDING_OFFSET / ENTRY_BYTES)
      throw new Error(`MSI-X: ${vectors} vectors are not between 1 and 128`)
    this.#vectors = vectors
    this.#send = send
    this.state = this.#initial()
    this.handler = dwordRegisters({
      readDword: offset => this.#read(offset),
      writeDword: (offset, value) => this.#write(offset, value),
    })
  }

  #initial(): MsiXState {
    const table = Array.from({ length: this.#vectors * 4 }, (_, word) => (word % 4 === 3 ? VECTOR_MASKED : 0))
    return { table, pending: new Array(this.#vectors).fill(false) }
  }

  /** The entry for the function's capabilities list, with the table at the start of BAR `bar`. */
  capability(bar: number): PciCapability {
    const size = this.#vectors - 1
    return {
      id: MSIX_CAPABILITY,
      bytes: [size & 0xff, size >> 8, bar, 0, 0, 0, bar, PENDING_OFFSET >> 8, 0, 0],
      writable: [0, (CONTROL_ENABLE | CONTROL_MASK) >> 8],
    }
  }

  /** Says which function's capability switches it. */
  attach(pciFunction: PciFunction): void {
    this.#function = pciFunction
  }

  reset(): void {
    this.state = this.#initial()
  }

  get #control(): number {
    const at = this.#function?.capability(MSIX_CAPABILITY) ?? 0
    return at === 0 ? 0 : this.#function!.read16(at + 2)
  }

  /** MSI-X is on, and INTx is not used. */
  get enabled(): boolean {
    return (this.#control & CONTROL_ENABLE) !== 0
  }

  /** How many vectors there are. */
  get vectors(): number {
    return this.#vectors
  }

  /** Interrupts by a vector, now or when it is unmasked. A vector that does not exist does nothing. */
  notify(vector: number): void {
    if (vector >= this.#vectors || !this.enabled) return
    this.state.pending[vector] = true
    this.#deliver(vector)
  }

  /** The function's configuration space was written: a mask may have gone. */
  configWritten(offset: number, size: AccessSize): void {
    const at = this.#function?.capability(MSIX_CAPABILITY) ?? 0
    const control = offset + size > at + 2 && offset < at + 4
    const command = offset + size > PCI_CONFIG.COMMAND && offset < PCI_CONFIG.STATUS
    if (at === 0 || !(control || command)) return
    for (let vector = 0; vector < this.#vectors; vector++) this.#deliver(vector)
  }

  #deliver(vector: number): void {
    const { table, pending } = this.state
    if (!pending[vector] || (this.#control & (CONTROL_ENABLE | CONTROL_MASK)) !== CONTROL_ENABLE) return
    const entry = 4 * vector
    if (table[entry + 3] & VECTOR_MASKED || !this.#function?.busMaster) return
    pending[vector] = false
    this.#send(table[entry], table[entry + 1], table[entry + 2])
  }

  #read(offset: number): number {
    if (offset < this.#vectors * ENTRY_BYTES) return this.state.table[offset >> 2]
    if (offset < PENDING_OFFSET) return 0
    let bits = 0
    const first = (offset - PENDING_OFFSET) * 8
    for (let i = 0; i < 32; i++) if (this.state.pending[first + i]) bits |= 1 << i
    return bits >>> 0
  }

  #write(offset: number, value: number): void {
    if (offset >= this.#vectors * ENTRY_BYTES) return
    const word = offset >> 2
    this.state.table[word] = word % 4 === 3 ? value & VECTOR_MASKED : word % 4 === 0 ? (value & ~3) >>> 0 : value
    this.#deliver(word >> 2)
  }
}

/** Memory of the display adapter: frames of the machine's memory, so that the processor's accesses to it cost what any cost. */
import type { VideoMemory } from '../devices/vga/planes.ts'
import { FRAME_SIZE, type PhysicalMemory } from '../memory/physical.ts'
import type { AddressMap } from './address-map.ts'

/** Bytes of it: 2560 × 1600 pixels of 32 bits fit. */
export const VIDEO_MEMORY_SIZE = 16 * 2 ** 20

const WINDOW_FIRST = 0xa0000 / FRAME_SIZE
const WINDOW_FRAMES = 0x10000 / FRAME_SIZE

/** A display adapter's memory as part of the machine's. */
export class MachineVideoMemory implements VideoMemory {
  readonly base: number
  readonly size = VIDEO_MEMORY_SIZE
  readonly dirty = new Uint8Array(VIDEO_MEMORY_SIZE / FRAME_SIZE).fill(1)
  readonly #memory: PhysicalMemory
  readonly #map: AddressMap
  /** The guest-physical frame at which it begins. */
  #first: number | undefined
  /** What the window at A0000h shows. */
  #window: number | undefined

  /** @throws ArenaFullError where there is no room */
  constructor(memory: PhysicalMemory, map: AddressMap) {
    this.#memory = memory
    this.#map = map
    this.base = memory.addRange(VIDEO_MEMORY_SIZE / FRAME_SIZE)
  }

  get ram(): Uint8Array {
    return this.#memory.ram
  }

  get ram32(): Int32Array {
    return this.#memory.ram32
  }

  collect(): void {
    const { dirty, base } = this
    if (this.#first !== undefined) this.#memory.takeDirty(this.#first, dirty.length, base, dirty)
    if (this.#window === undefined) return
    const pages = dirty.subarray(this.#window / FRAME_SIZE)
    this.#memory.takeDirty(WINDOW_FIRST, WINDOW_FRAMES, base + this.#window, pages)
  }

  map(address: number | undefined): void {
    this.collect()
    const count = this.dirty.length
    if (this.#first !== undefined) this.#memory.takeRange(this.#first, count, this.base)
    this.#first = address === undefined ? undefined : address / FRAME_SIZE
    if (this.#first !== undefined) this.#memory.placeRange(this.#first, count, this.base)
  }

  window(offset: number | undefined): void {
    if (offset === this.#window) return
    this.collect()
    this.#window = offset
    this.#map.setWindow(offset === undefined ? undefined : this.base + offset)
  }
}

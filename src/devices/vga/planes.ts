/**
 * The processor's accesses to display memory at A0000h: the ways of a VGA to write four planes at once.
 *
 * The planes are interleaved: byte `4a + p` of video memory is byte `a` of plane `p`. Where odd and even addresses, or groups of
 * four, are planes, address `a` of the processor is unit `a / 2` or `a / 4`, so that a chained mode's memory is linear.
 */
import type { AccessSize } from '../bus.ts'
import {
  GR,
  MEMORY_CHAIN_4,
  MEMORY_SEQUENTIAL,
  MODE_ODD_EVEN,
  MODE_READ_COMPARE,
  SR,
  type VgaState,
} from './registers.ts'

/** Video memory, which the processor may also see as it is. */
export interface VideoMemory {
  /** Memory of which video memory is a part; other views after any access of the guest. */
  readonly ram: Uint8Array
  readonly ram32: Int32Array
  /** Where in it video memory begins, a multiple of 4096; how many bytes it has, a power of two. */
  readonly base: number
  readonly size: number
  /** Pages written since the last {@link collect}, a byte each; who writes past the processor marks them. */
  readonly dirty: Uint8Array
  /** Adds to {@link dirty} what the processor and DMA wrote. */
  collect(): void
  /** Lets video memory lie at a guest-physical address, or nowhere. */
  map(address: number | undefined): void
  /** Lets 64 KiB from an offset lie at A0000h as they are, or with undefined leaves that to the bus. */
  window(offset: number | undefined): void
}

/** A nibble's bits, each as a byte of ones or zeros. */
export const PLANE_MASK = Int32Array.from({ length: 16 }, (_, bits) => {
  let mask = 0
  for (let plane = 0; plane < 4; plane++) if (bits & (1 << plane)) mask |= 0xff << (8 * plane)
  return mask
})

/** Where a bank that VBE selects begins, and what the memory map select says: start and length of what answers. */
const MAPS = [
  [0, 0x20000],
  [0, 0x10000],
  [0x10000, 0x8000],
  [0x18000, 0x8000],
] as const

/** How often memory is accessed as it is before the window lies there: setting a mode shall not map it again and again. */
const PLAIN_ACCESSES = 64

/** The 128 KiB from A0000h. */
export class PlaneAccess {
  readonly #memory: VideoMemory
  readonly #state: () => VgaState
  /** Bytes of video memory before what 64 KiB windows show: VBE's bank. */
  #bank = 0
  /** Accesses that could have been plain ones of memory. */
  #plainAccesses = 0
  #windowed = false
  // What the registers say, worked out when they change: games write here by the million.
  #start = 0
  #length = 0
  /** Added to addresses within the window. */
  #base = 0
  /** Addresses are divided by two to this power, and say by their low bits which planes they are about. */
  #readShift = 0
  #writeShift = 0
  /** Bytes are written as they are. */
  #writesPlainly = false
  /** Planes that are written, by an address's low bits. */
  readonly #masks = new Int32Array(4)

  /** @param state the registers as they are now */
  constructor(memory: VideoMemory, state: () => VgaState) {
    this.#memory = memory
    this.#state = state
  }

  /** VBE selects what the window shows, in bytes. */
  setBank(offset: number): void {
    if (offset === this.#bank) return
    this.#bank = offset
    this.changed()
  }

  /** A register changed that says how memory is accessed. */
  changed(): void {
    const { graphics, sequencer } = this.#state()
    const map = (graphics[GR.MISCELLANEOUS] >> 2) & 3
    const [start, length] = MAPS[map]
    this.#start = start
    this.#length = length
    this.#base = map === 1 ? this.#bank : 0
    const mode = sequencer[SR.MEMORY_MODE]
    const chained = (mode & MEMORY_CHAIN_4) !== 0
    this.#writeShift = chained ? 2 : mode & MEMORY_SEQUENTIAL ? 0 : 1
    this.#readShift = chained ? 2 : graphics[GR.MODE] & MODE_ODD_EVEN ? 1 : 0
    this.#writesPlainly =
      (graphics[GR.MODE] & 3) === 0 &&
      graphics[GR.DATA_ROTATE] === 0 &&
      graphics[GR.BIT_MASK] === 0xff &&
      (graphics[GR.ENABLE_SET_RESET] & 15) === 0
    for (let low = 0; low < 4; low++) {
      const addressed = [0b1111, low & 1 ? 0b1010 : 0b0101, 1 << low][this.#writeShift]
      this.#masks[low] = PLANE_MASK[sequencer[SR.MAP_MASK] & addressed]
    }
    this.#plainAccesses = 0
    if (!this.#windowed) return
    if (this.#isPlain()) {
      this.#memory.window(this.#bank)
      return
    }
    this.#windowed = false
    this.#memory.window(undefined)
  }

  /** Whether 64 KiB at A0000h are read and written as they are. */
  #isPlain(): boolean {
    const { graphics, sequencer } = this.#state()
    return (
      this.#writeShift === 2 &&
      (sequencer[SR.MAP_MASK] & 15) === 15 &&
      (graphics[GR.MISCELLANEOUS] & 12) === 4 &&
      this.#writesPlainly &&
      !(graphics[GR.MODE] & MODE_READ_COMPARE)
    )
  }

  /** A load of the processor's. */
  readMmio(offset: number, size: AccessSize): number {
    let value = this.#read(offset)
    for (let i = 1; i < size; i++) value |= this.#read(offset + i) << (8 * i)
    return value >>> 0
  }

  /** A store of the processor's. */
  writeMmio(offset: number, size: AccessSize, value: number): void {
    const { latch, graphics } = this.#state()
    for (let i = 0; i < size; i++, value >>>= 8) this.#write(offset + i, value & 0xff, graphics, latch)
    if (this.#writeShift !== 2 || ++this.#plainAccesses < PLAIN_ACCESSES) return
    this.#plainAccesses = 0
    if (this.#windowed || !this.#isPlain()) return
    this.#windowed = true
    this.#memory.window(this.#bank)
  }

  #read(offset: number): number {
    let at = offset - this.#start
    if (at < 0 || at >= this.#length) return 0xff
    at += this.#base
    const state = this.#state()
    const { graphics } = state
    const memory = this.#memory
    const unit = at >> this.#readShift
    const latch = memory.ram32[(memory.base + ((unit * 4) & (memory.size - 1))) >> 2]
    state.latch = latch
    if (graphics[GR.MODE] & MODE_READ_COMPARE) {
      const different =
        (latch ^ PLANE_MASK[graphics[GR.COLOR_COMPARE] & 15]) & PLANE_MASK[graphics[GR.COLOR_DONT_CARE] & 15]
      return ~(different | (different >>> 8) | (different >>> 16) | (different >>> 24)) & 0xff
    }
    const selected = graphics[GR.READ_MAP_SELECT] & 3
    const plane = this.#readShift === 0 ? selected : this.#readShift === 2 ? at & 3 : (selected & 2) | (at & 1)
    return (latch >>> (8 * plane)) & 0xff
  }

  #write(offset: number, value: number, graphics: Uint8Array, latch: number): void {
    let at = offset - this.#start
    if (at < 0 || at >= this.#length) return
    at += this.#base
    const memory = this.#memory
    const place = ((at >> this.#writeShift) * 4) & (memory.size - 1)
    const mask = this.#masks[at & 3]
    const result = this.#writesPlainly ? Math.imul(value, 0x01010101) : this.#combine(value, graphics, latch)
    const word = (memory.base + place) >> 2
    const { ram32 } = memory
    ram32[word] = mask === -1 ? result : (ram32[word] & ~mask) | (result & mask)
    memory.dirty[place >> 12] = 1
  }

  /** What the graphics controller makes of a byte, the latches and its registers, for all four planes. */
  #combine(value: number, graphics: Uint8Array, latch: number): number {
    const rotate = graphics[GR.DATA_ROTATE] & 7
    const rotated = ((value >> rotate) | (value << (8 - rotate))) & 0xff
    const setReset = PLANE_MASK[graphics[GR.SET_RESET] & 15]
    let bits = Math.imul(graphics[GR.BIT_MASK], 0x01010101)
    let data: number
    switch (graphics[GR.MODE] & 3) {
      case 0: {
        const enabled = PLANE_MASK[graphics[GR.ENABLE_SET_RESET] & 15]
        data = (Math.imul(rotated, 0x01010101) & ~enabled) | (setReset & enabled)
        break
      }
      case 1:
        return latch
      case 2:
        data = PLANE_MASK[value & 15]
        break
      default:
        data = setReset
        bits = Math.imul(graphics[GR.BIT_MASK] & rotated, 0x01010101)
    }
    switch ((graphics[GR.DATA_ROTATE] >> 3) & 3) {
      case 1:
        data &= latch
        break
      case 2:
        data |= latch
        break
      case 3:
        data ^= latch
        break
    }
    return (data & bits) | (latch & ~bits)
  }
}

/**
 * What lies where in the first two megabytes and beneath 4 GiB: RAM, read-only memory or nothing, as the host bridge's
 * PAM and SMRAM registers and the A20 gate have it. All of it is entries of the frame table, so that the processor's
 * accesses pay nothing for it.
 */
import { FRAME_SIZE, type PhysicalMemory } from '../memory/physical.ts'

const pageOf = (address: number) => Math.floor(address / FRAME_SIZE)

/** The hole for display memory, behind which is RAM for system management mode. */
const VIDEO_FIRST = pageOf(0xa0000)
/** The part of it in which memory of a display adapter may lie as it is ends here. */
const WINDOW_END = pageOf(0xb0000)
/** Where the PAM registers begin to say what answers. */
const SHADOW_FIRST = pageOf(0xc0000)
const BIOS_AREA = pageOf(0xf0000)
const EXTENDED_FIRST = pageOf(0x100000)
/** The second megabyte ends, which is the first one while A20 is held low. */
const ALIAS_END = pageOf(0x200000)
const FOUR_GIB = pageOf(2 ** 32)
/** Of the firmware so much is also below 1 MiB. */
const LOW_FIRMWARE = pageOf(0x20000)
/** Most bytes of read-only memory. */
export const LARGEST_ROM = 16 * 2 ** 20

/** Bits of a half of a PAM register (82441FX data sheet, 3.2.18). */
const PAM_READ = 1
const PAM_WRITE = 2
/** Bits of the SMRAM register (3.2.19). */
const SMRAM_ENABLE = 8
const SMRAM_OPEN = 0x40

/** What a frame is for the guest. */
type Mapping = { read: number; write: 'here' | 'nowhere' | number } | undefined

/** The map of a machine's low memory and of its firmware. */
export class AddressMap {
  readonly #memory: PhysicalMemory
  /** The RAM of frames where something else may lie, by frame number: its address in memory 1. */
  readonly #ram = new Map<number, number>()
  /** Frames of the firmware, from its first to its last byte. */
  #rom: number[] = []
  /** A frame of ones, where nothing is read but RAM written. -1 until it is needed. */
  #ones = -1
  /** PAM0 to PAM6 and SMRAM. */
  #registers: Uint8Array = new Uint8Array(8)
  #a20 = true
  /** What lies in the 64 KiB from A0000h, an address in memory 1; -1 while a device answers. */
  #window = -1
  /** What lies at each frame that this map is about now. */
  readonly #now = new Map<number, Mapping>()

  constructor(memory: PhysicalMemory) {
    this.#memory = memory
    for (let frame = VIDEO_FIRST; frame < ALIAS_END; frame++) {
      const address = memory.locate(frame * FRAME_SIZE)
      if (address < 0) continue
      this.#ram.set(frame, address)
      this.#now.set(frame, { read: address, write: 'here' })
    }
  }

  /**
   * Puts the firmware so that it ends at 4 GiB, its last 128 KiB also beneath 1 MiB where the registers say so.
   * @param image a multiple of 4096 bytes
   * @throws RangeError for a size that no firmware has, ArenaFullError where there is no room
   */
  setFirmware(image: Uint8Array): void {
    if (image.length === 0 || image.length % FRAME_SIZE !== 0 || image.length > LARGEST_ROM)
      throw new RangeError(`a firmware of ${image.length} bytes is no multiple of 4 KiB up to 16 MiB`)
    this.#rom = []
    for (let at = 0; at < image.length; at += FRAME_SIZE)
      this.#rom.push(this.#memory.addFrame(image.subarray(at, at + FRAME_SIZE)))
    for (const [i, address] of this.#rom.entries())
      this.#memory.placeFrame(FOUR_GIB - this.#rom.length + i, address, 'nowhere')
    this.#update()
  }

  /**
   * Memory of a device that is read as memory is, and whose writes the device gets on the bus.
   * @param address and length multiples of 4096
   * @returns shows such contents, or with undefined leaves reads to the device too
   * @throws ArenaFullError where there is no room
   */
  deviceMemory(address: number, length: number): (contents: Uint8Array | undefined) => void {
    const memory = this.#memory
    const first = pageOf(address)
    const frames = Array.from({ length: length / FRAME_SIZE }, () => memory.addFrame(new Uint8Array(0)))
    return contents => {
      for (const [i, at] of frames.entries()) {
        memory.takeFrame(first + i)
        if (contents === undefined) continue
        memory.ram.set(contents.subarray(i * FRAME_SIZE, (i + 1) * FRAME_SIZE), at)
        memory.placeFrame(first + i, at, 'device')
      }
    }
  }

  /** The host bridge's registers PAM0 to PAM6 and SMRAM, in this order. */
  setShadow(registers: Uint8Array): void {
    this.#registers = registers.slice()
    this.#update()
  }

  /** The A20 gate: while it is closed, the second megabyte is the first. Further odd megabytes stay what they are. */
  setA20(open: boolean): void {
    if (open === this.#a20) return
    this.#a20 = open
    this.#update()
  }

  /** Lets memory of the display adapter lie in the 64 KiB from A0000h, or with undefined leaves them to the bus. */
  setWindow(address: number | undefined): void {
    this.#window = address ?? -1
    this.#update()
  }

  /** What a guest-physical address outside of RAM is on the bus. */
  busAddress(address: number): number {
    return !this.#a20 && address >= 0x100000 && address < 0x200000 ? address - 0x100000 : address
  }

  #update(): void {
    const low: Mapping[] = []
    for (let frame = VIDEO_FIRST; frame < EXTENDED_FIRST; frame++) {
      low[frame] = frame < SHADOW_FIRST ? this.#video(frame) : this.#shadowed(frame)
      this.#map(frame, low[frame])
    }
    for (let frame = EXTENDED_FIRST; frame < ALIAS_END; frame++) {
      const alias = frame - EXTENDED_FIRST
      if (this.#a20) this.#map(frame, this.#plain(frame))
      else if (alias >= VIDEO_FIRST) this.#map(frame, low[alias])
      else this.#map(frame, { read: this.#memory.locate(alias * FRAME_SIZE), write: 'here' })
    }
  }

  #plain(frame: number): Mapping {
    const ram = this.#ram.get(frame)
    return ram === undefined ? undefined : { read: ram, write: 'here' }
  }

  #video(frame: number): Mapping {
    const visible = SMRAM_ENABLE | SMRAM_OPEN
    if ((this.#registers[7] & visible) === visible) return this.#plain(frame)
    if (this.#window < 0 || frame >= WINDOW_END) return undefined
    return { read: this.#window + (frame - VIDEO_FIRST) * FRAME_SIZE, write: 'here' }
  }

  #shadowed(frame: number): Mapping {
    const half = (frame - SHADOW_FIRST) >> 2
    const register = frame >= BIOS_AREA ? this.#registers[0] >> 4 : this.#registers[1 + (half >> 1)] >> (4 * (half & 1))
    const ram = this.#ram.get(frame)
    const rom = this.#rom.at(frame - EXTENDED_FIRST)
    const firmware = EXTENDED_FIRST - frame <= Math.min(LOW_FIRMWARE, this.#rom.length) ? rom : undefined
    const written = ram !== undefined && (register & PAM_WRITE) !== 0
    if (register & PAM_READ && ram !== undefined) return { read: ram, write: written ? 'here' : 'nowhere' }
    const read = firmware ?? (written ? this.#onesFrame() : undefined)
    return read === undefined ? undefined : { read, write: written ? ram : 'nowhere' }
  }

  #onesFrame(): number {
    if (this.#ones < 0) this.#ones = this.#memory.addFrame(new Uint8Array(0))
    return this.#ones
  }

  #map(frame: number, wanted: Mapping): void {
    const now = this.#now.get(frame)
    if (now?.read === wanted?.read && now?.write === wanted?.write) return
    const taken = this.#memory.takeFrame(frame)
    // Copy-on-write may have given the frame another place since.
    if (now !== undefined && now.read === this.#ram.get(frame) && taken !== now.read) this.#moved(frame, taken, wanted)
    if (wanted !== undefined) this.#memory.placeFrame(frame, wanted.read, wanted.write)
    this.#now.set(frame, wanted)
  }

  #moved(frame: number, to: number, wanted: Mapping): void {
    const from = this.#ram.get(frame)!
    this.#ram.set(frame, to)
    if (wanted?.read === from) wanted.read = to
    if (wanted?.write === from) wanted.write = to
  }
}

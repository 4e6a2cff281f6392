/** What a guest has the GPU device keep: pictures, and which memory of the guest stands behind them. */
import type { GuestMemory } from '../bus.ts'
import type { GpuRectangle } from './gpu-protocol.ts'

/** Bytes of all pictures together: some of the largest screen, and what windows need. */
export const GPU_PICTURE_BYTES = 128 << 20
/** Pixels of a picture each way. */
export const GPU_MOST_PIXELS = 4096
const MOST_RESOURCES = 1024
/** Pieces of memory behind one picture, and behind all: the largest screen has 4,000 pages. */
export const GPU_MOST_ENTRIES = 16384
const ALL_ENTRIES = 4 * GPU_MOST_ENTRIES
/** Addresses beyond this reach no memory. */
const ADDRESS_LIMIT = 2 ** 52

/** A picture. */
export interface GpuResource {
  id: number
  format: number
  width: number
  height: number
  /** Four bytes each, line after line; nothing before something was transferred. */
  pixels: Uint8Array | undefined
  /** Addresses and lengths, in turn, of the memory behind it; undefined while there is none. */
  backing: number[] | undefined
}

/** Why something could not be done. */
export type GpuFailure = 'memory' | 'resource' | 'parameter' | 'backing'

/** Whether a rectangle has pixels, and all of them are in a picture. */
export function isWithin({ x, y, width, height }: GpuRectangle, picture: { width: number; height: number }): boolean {
  return width > 0 && height > 0 && x + width <= picture.width && y + height <= picture.height
}

/** The pictures that a guest has made, none larger or more than one machine may keep. */
export class GpuResources {
  readonly #memory: GuestMemory
  #resources = new Map<number, GpuResource>()
  /** Bytes of all pictures, whether or not they have pixels yet. */
  #bytes = 0
  #entries = 0

  constructor(memory: GuestMemory) {
    this.#memory = memory
  }

  /** All of them, for a snapshot. */
  get state(): GpuResource[] {
    return [...this.#resources.values()]
  }
  set state(resources: GpuResource[]) {
    this.#resources = new Map(resources.map(resource => [resource.id, resource]))
    this.#bytes = resources.reduce((sum, resource) => sum + bytesOf(resource), 0)
    this.#entries = resources.reduce((sum, { backing }) => sum + (backing?.length ?? 0) / 2, 0)
  }

  get(id: number): GpuResource | undefined {
    return this.#resources.get(id)
  }

  /** Makes a picture, black. @returns what is wrong */
  create(id: number, format: number, width: number, height: number): GpuFailure | undefined {
    if (id === 0 || this.#resources.has(id)) return 'resource'
    if (width === 0 || height === 0 || width > GPU_MOST_PIXELS || height > GPU_MOST_PIXELS) return 'parameter'
    const resource: GpuResource = { id, format, width, height, pixels: undefined, backing: undefined }
    if (this.#resources.size >= MOST_RESOURCES || this.#bytes + bytesOf(resource) > GPU_PICTURE_BYTES) return 'memory'
    this.#resources.set(id, resource)
    this.#bytes += bytesOf(resource)
    return undefined
  }

  /** Forgets a picture. */
  delete(id: number): GpuFailure | undefined {
    const resource = this.#resources.get(id)
    if (!resource) return 'resource'
    this.#entries -= (resource.backing?.length ?? 0) / 2
    this.#bytes -= bytesOf(resource)
    this.#resources.delete(id)
    return undefined
  }

  /** Puts memory behind a picture. @param entries as the driver gave them */
  attach(id: number, entries: DataView): GpuFailure | undefined {
    const resource = this.#resources.get(id)
    if (!resource) return 'resource'
    const count = entries.byteLength / 16
    if (resource.backing) return 'backing'
    if (count > GPU_MOST_ENTRIES || this.#entries + count > ALL_ENTRIES) return 'memory'
    const backing: number[] = []
    for (let at = 0; at < entries.byteLength; at += 16) {
      const address = entries.getUint32(at, true) + entries.getUint32(at + 4, true) * 2 ** 32
      const length = entries.getUint32(at + 8, true)
      if (address + length > ADDRESS_LIMIT) return 'parameter'
      // Pages that lie one behind the other are one piece.
      const last = backing.length - 2
      if (last >= 0 && backing[last] + backing[last + 1] === address) backing[last + 1] += length
      else backing.push(address, length)
    }
    resource.backing = backing
    this.#entries += backing.length / 2
    return undefined
  }

  /** Takes the memory behind a picture away; the picture stays. */
  detach(id: number): GpuFailure | undefined {
    const resource = this.#resources.get(id)
    if (!resource) return 'resource'
    if (!resource.backing) return 'backing'
    this.#entries -= resource.backing.length / 2
    resource.backing = undefined
    return undefined
  }

  /**
   * Copies a rectangle of a picture from the memory behind it. What the memory does not reach stays as it is.
   * @param offset of the rectangle's first pixel in that memory; its lines are as far apart as the picture's
   */
  transfer(id: number, rectangle: GpuRectangle, offset: number): GpuFailure | undefined {
    const resource = this.#resources.get(id)
    if (!resource) return 'resource'
    if (!resource.backing) return 'backing'
    if (!isWithin(rectangle, resource)) return 'parameter'
    const { x, y, width, height } = rectangle
    const stride = resource.width * 4
    resource.pixels ??= new Uint8Array(bytesOf(resource))
    const from = new BackingReader(this.#memory, resource.backing)
    const to = resource.pixels
    const first = y * stride + x * 4
    // Whole lines are one piece.
    if (width === resource.width) from.copy(offset, to, first, height * stride)
    else
      for (let line = 0; line < height; line++)
        if (!from.copy(offset + line * stride, to, first + line * stride, width * 4)) break
    return undefined
  }

  reset(): void {
    this.state = []
  }
}

function bytesOf({ width, height }: { width: number; height: number }): number {
  return width * height * 4
}

/** Reads pieces of memory as one, forwards. */
class BackingReader {
  readonly #memory: GuestMemory
  readonly #backing: readonly number[]
  /** A piece that begins no later than what is read next, and where it begins. */
  #piece = 0
  #start = 0

  constructor(memory: GuestMemory, backing: readonly number[]) {
    this.#memory = memory
    this.#backing = backing
  }

  /** Copies what there is. @returns whether that was all */
  copy(offset: number, to: Uint8Array, at: number, length: number): boolean {
    const backing = this.#backing
    while (length > 0) {
      while (this.#piece < backing.length && offset >= this.#start + backing[this.#piece + 1]) {
        this.#start += backing[this.#piece + 1]
        this.#piece += 2
      }
      if (this.#piece >= backing.length) return false
      const within = offset - this.#start
      const count = Math.min(length, backing[this.#piece + 1] - within)
      for (const view of this.#memory.views(backing[this.#piece] + within, count, false)) {
        to.set(view, at)
        at += view.length
      }
      offset += count
      length -= count
    }
    return true
  }
}

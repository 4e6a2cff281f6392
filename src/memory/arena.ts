/** The arena of frames in memory 1: which are free, how often each is used, and room for more of them. */
import { WASM_PAGE } from './layout.ts'

/** By so many bytes the arena grows when no frame is free. */
const GROWTH = 16 * WASM_PAGE
const FRAME_SIZE = 4096

/** No frame is free and the arena has the size it may have. The message is one sentence for people. */
export class ArenaFullError extends Error {
  override name = 'ArenaFullError'
}

/**
 * Frames by their address in memory 1. A frame in use has a count of its users, guest-physical frames and holders
 * (snapshots, forks); one that has a single user is not listed.
 */
export class Arena {
  private readonly memory: WebAssembly.Memory
  /** Where memory 1 begins in it. */
  private readonly from: number
  /** Most bytes. */
  readonly limit: number
  private readonly free: number[] = []
  /** Where what was never used begins. */
  private next: number
  private readonly counts = new Map<number, number>()

  /**
   * @param memory which holds memory 1
   * @param from where that begins in it
   * @param size bytes that are in use from the start
   * @param limit bytes that it may grow to
   */
  constructor(memory: WebAssembly.Memory, from: number, size: number, limit: number) {
    this.memory = memory
    this.from = from
    this.limit = Math.ceil(limit / WASM_PAGE) * WASM_PAGE
    this.next = size
  }

  /** Bytes that there are. */
  private get size(): number {
    return this.memory.buffer.byteLength - this.from
  }

  /** Takes a free frame. @returns its address, or -1 when there is none. The memory's buffer may be another one then. */
  allocate(): number {
    const freed = this.free.pop()
    if (freed !== undefined) return freed
    const { size } = this
    if (this.next + FRAME_SIZE > size) {
      const more = Math.min(GROWTH, this.limit - size)
      if (more <= 0 || !this.grow(more)) return -1
    }
    const address = this.next
    this.next += FRAME_SIZE
    return address
  }

  /** Takes frames one behind the other that were never used: they are zeros. @returns the address of the first, or -1 */
  allocateRange(count: number): number {
    const end = this.next + count * FRAME_SIZE
    const more = Math.ceil(Math.max(0, end - this.size) / WASM_PAGE) * WASM_PAGE
    if (end > this.limit || (more > 0 && !this.grow(more))) return -1
    const address = this.next
    this.next = end
    return address
  }

  private grow(bytes: number): boolean {
    try {
      this.memory.grow(bytes / WASM_PAGE)
      return true
    } catch (error) {
      if (error instanceof RangeError) return false
      throw error
    }
  }

  /** Whether the frame has more than one user. */
  isShared(address: number): boolean {
    return this.counts.has(address)
  }

  /** One more user. */
  retain(address: number): void {
    this.counts.set(address, (this.counts.get(address) ?? 1) + 1)
  }

  /** One user less. @returns whether it was the last, so that the frame is free now */
  release(address: number): boolean {
    const count = this.counts.get(address)
    if (count === undefined) {
      this.free.push(address)
      return true
    }
    if (count > 2) this.counts.set(address, count - 1)
    else this.counts.delete(address)
    return false
  }

  /** Bytes that hold frames in use. */
  get used(): number {
    return this.next - this.free.length * FRAME_SIZE
  }
}

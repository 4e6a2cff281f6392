/** Watches what devices do to guest memory. */
import assert from 'node:assert/strict'
import type { PhysicalMemory } from '../../src/memory/physical.ts'

/** Counts the bytes that devices move, by taking the place of the memory's methods. */
export class MemoryGuard {
  /** Most bytes between {@link begin} and {@link end}. */
  most = 0
  #bytes = 0

  constructor(memory: PhysicalMemory) {
    const read = memory.read.bind(memory)
    const write = memory.write.bind(memory)
    const views = memory.views.bind(memory)
    memory.read = (address, length) => {
      this.#count(length)
      return read(address, length)
    }
    memory.write = (address, bytes) => {
      this.#count(bytes.length)
      write(address, bytes)
    }
    memory.views = (address, length, forWrite) => {
      this.#count(length)
      return views(address, length, forWrite)
    }
  }

  #count(bytes: number): void {
    assert.ok(Number.isInteger(bytes) && bytes >= 0, `a length of ${bytes} bytes`)
    this.#bytes += bytes
  }

  begin(): void {
    this.#bytes = 0
  }

  /** @throws AssertionError when more than `limit` bytes were moved */
  end(limit: number, where: () => string): void {
    this.most = Math.max(this.most, this.#bytes)
    assert.ok(this.#bytes <= limit, `${where()}: one access moved ${this.#bytes} bytes`)
  }
}

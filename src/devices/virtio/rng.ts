import type { VirtioDevice, VirtioTransport } from './device.ts'

/** Device type and PCI class. */
const TYPE_ENTROPY = 4
const CLASS_OTHER = 0x00ff00
const QUEUE_SIZE = 64
/** More than this is not given for one request. */
const REQUEST_LIMIT = 0x10000

/** A virtio entropy device (Virtual I/O Device 1.2, chapter 5.4). */
export class VirtioRng implements VirtioDevice {
  readonly name = 'virtio-rng'
  readonly version = 1
  readonly type = TYPE_ENTROPY
  readonly classCode = CLASS_OTHER
  readonly features: readonly number[] = []
  readonly queueSizes = [QUEUE_SIZE]
  state = {}
  readonly #entropy: (bytes: number) => Uint8Array
  #transport: VirtioTransport | undefined

  /** @param entropy gives that many random bytes; where a run is to be repeatable, always the same. */
  constructor(entropy: (bytes: number) => Uint8Array) {
    this.#entropy = entropy
  }

  attach(transport: VirtioTransport): void {
    this.#transport = transport
  }

  configuration(): Uint8Array {
    return new Uint8Array(0)
  }

  start(): void {
    this.notify(0)
  }

  notify(_queue: number): void {
    const queue = this.#transport!.queue(0)
    for (let count = 0; count < QUEUE_SIZE; count++) {
      const chain = queue.pop()
      if (chain === undefined) break
      chain.write(this.#entropy(Math.min(chain.writableLength, REQUEST_LIMIT)))
      queue.push(chain)
    }
    queue.signal()
  }

  reset(): void {}
}

/** Plays what a machine is to be heard of. */
import type { Sound } from '../../src/hosts/browser/index.ts'

/** Seconds that a piece is played after it came: what the guest's speed and the page's turns may vary. */
const DELAY = 0.08
/** Seconds of delay beyond which what waits is skipped: the guest has caught up with what it had missed. */
const MOST_DELAY = 0.5

/** Plays until the machine ends or it is closed. */
export class SoundPlayer {
  readonly #context: AudioContext
  readonly #volume: GainNode
  readonly #reader: ReadableStreamDefaultReader<{ frame: number; samples: Int16Array }>
  /** The time of the page at which frame 0 of the guest would be heard. */
  #origin = Number.NEGATIVE_INFINITY
  /** Pieces that may not have been heard yet. */
  readonly #waiting = new Set<AudioBufferSourceNode>()

  constructor(sound: Sound) {
    this.#context = new AudioContext({ sampleRate: sound.rate, latencyHint: 'interactive' })
    this.#volume = this.#context.createGain()
    this.#volume.connect(this.#context.destination)
    this.#reader = sound.chunks().getReader()
    void this.#play(sound.rate)
  }

  get muted(): boolean {
    return this.#volume.gain.value === 0
  }

  set muted(muted: boolean) {
    this.#volume.gain.value = muted ? 0 : 1
    // A page may sound only after somebody has touched it.
    void this.#context.resume()
  }

  async #play(rate: number): Promise<void> {
    for (;;) {
      const { done, value } = await this.#reader.read().catch(() => ({ done: true as const, value: undefined }))
      if (done || !value) return
      const { frame, samples } = value
      const length = samples.length / 2
      if (length === 0 || this.#context.state !== 'running') continue
      const buffer = this.#context.createBuffer(2, length, rate)
      for (let channel = 0; channel < 2; channel++) {
        const data = buffer.getChannelData(channel)
        for (let i = 0; i < length; i++) data[i] = samples[i * 2 + channel] / 32768
      }
      const now = this.#context.currentTime
      let at = this.#origin + frame / rate
      // The first piece, one that comes too late, or after a silence in which the clocks went apart.
      if (at < now || at > now + MOST_DELAY) {
        // Not two pieces at once.
        for (const waiting of this.#waiting) waiting.stop()
        this.#waiting.clear()
        at = now + DELAY
        this.#origin = at - frame / rate
      }
      const source = this.#context.createBufferSource()
      source.buffer = buffer
      source.connect(this.#volume)
      source.start(at)
      this.#waiting.add(source)
      source.addEventListener('ended', () => this.#waiting.delete(source))
    }
  }

  close(): void {
    this.#reader.cancel().catch(() => {})
    this.#context.close().catch(() => {})
  }
}

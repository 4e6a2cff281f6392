/** What is to be heard of a machine, for those who listen. */
import { SAMPLE_RATE } from '../devices/sound/mixer.ts'
import type { FromWorker, ToWorker } from './messages.ts'

export { SAMPLE_RATE } from '../devices/sound/mixer.ts'

/** What a guest may sound with: the PC's speaker, a Sound Blaster 16 with OPL3, an AC'97 controller of an Intel ICH. */
export const SOUND_DEVICES = ['speaker', 'sb16', 'ac97'] as const
export type SoundDevice = (typeof SOUND_DEVICES)[number]

/** Samples that follow each other without a gap. */
export interface SoundChunk {
  /** When the first is heard: frames of guest time, 48,000 a second, since the machine was created. */
  readonly frame: number
  /** Samples for left and right in turn. */
  readonly samples: Int16Array
}

/**
 * What a machine plays, at 48,000 frames a second of guest time, in two channels. While nothing plays nothing comes. Every reader
 * hears all from when it began; one that falls behind by {@link SOUND_WINDOW} pieces misses what comes meanwhile.
 */
export interface Sound {
  /** Frames a second. */
  readonly rate: number
  /** Samples for left and right in turn, in pieces of some ten milliseconds; ends with the machine. */
  samples(): ReadableStream<Int16Array>
  /** The same with the time at which each piece is heard, so that silence can be put where it was. */
  chunks(): ReadableStream<SoundChunk>
}

/** Pieces that may be on their way to somebody who listens: a second. */
export const SOUND_WINDOW = 100

/** The handle's side. */
export class SoundView implements Sound {
  readonly rate = SAMPLE_RATE
  readonly #post: (message: ToWorker) => void
  readonly #readers = new Set<ReadableStreamDefaultController<SoundChunk>>()
  #ended = false

  constructor(post: (message: ToWorker) => void) {
    this.#post = post
  }

  chunks(): ReadableStream<SoundChunk> {
    let own: ReadableStreamDefaultController<SoundChunk>
    return new ReadableStream<SoundChunk>(
      {
        start: controller => {
          own = controller
          if (this.#ended) controller.close()
          else this.#add(controller)
        },
        cancel: () => this.#remove(own),
      },
      { highWaterMark: SOUND_WINDOW },
    )
  }

  samples(): ReadableStream<Int16Array> {
    const reader = this.chunks().getReader()
    // What waits, waits there.
    return new ReadableStream<Int16Array>(
      {
        pull: async controller => {
          const { done, value } = await reader.read()
          if (done) controller.close()
          else controller.enqueue(value.samples)
        },
        cancel: () => reader.cancel(),
      },
      { highWaterMark: 0 },
    )
  }

  /** Takes what the machine played. */
  receive({ frame, samples }: FromWorker & { type: 'sound' }): void {
    this.#post({ type: 'sound-taken' })
    // Who reads may write to it.
    for (const reader of this.#readers)
      if ((reader.desiredSize ?? 0) > 0) reader.enqueue({ frame, samples: samples.slice() })
  }

  /** The machine has ended. */
  end(): void {
    this.#ended = true
    for (const reader of this.#readers) reader.close()
    this.#readers.clear()
  }

  #add(reader: ReadableStreamDefaultController<SoundChunk>): void {
    this.#readers.add(reader)
    if (this.#readers.size === 1) this.#post({ type: 'sound-listen', on: true })
  }

  #remove(reader: ReadableStreamDefaultController<SoundChunk>): void {
    if (this.#readers.delete(reader) && this.#readers.size === 0) this.#post({ type: 'sound-listen', on: false })
  }
}

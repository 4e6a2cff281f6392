/** The worker's side of sound: hands samples to the handle, no more of them than it takes. */
import type { SoundMixer } from '../devices/sound/mixer.ts'
import type { FromWorker } from './messages.ts'
import { SOUND_WINDOW } from './sound.ts'

/** Serves what a machine plays to its handle. */
export class SoundServer {
  readonly #post: (message: FromWorker, transfer: ArrayBuffer[]) => void
  /** Pieces that the handle has not taken yet. */
  #under = 0

  constructor(post: (message: FromWorker, transfer: ArrayBuffer[]) => void) {
    this.#post = post
  }

  /** Somebody listens to a mixer, or nobody any more. */
  listen(on: boolean, mixer: SoundMixer | undefined): void {
    mixer?.listen(on)
  }

  /** Samples were played. They are lost while the handle is too far behind. */
  play(frame: number, samples: Int16Array): void {
    if (this.#under >= SOUND_WINDOW) return
    this.#under++
    this.#post({ type: 'sound', frame, samples }, [samples.buffer as ArrayBuffer])
  }

  /** The handle has taken a piece. */
  taken(): void {
    this.#under = Math.max(0, this.#under - 1)
  }
}

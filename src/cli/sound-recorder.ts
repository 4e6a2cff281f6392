/** Records what a machine plays. */
import { WaveFile } from '../hosts/node/wave-file.ts'
import { type CommandHost, type RunningMachine, say } from './host.ts'
import type { SoundChoice } from './sound-options.ts'

/** A recording, opened before there is a machine. */
export class SoundRecorder {
  readonly #file: WaveFile
  readonly #host: CommandHost
  #recorded: Promise<void> = Promise.resolve()

  /** @returns undefined where nothing is to be recorded. @throws UserError naming the file that cannot be made */
  static async open(choice: SoundChoice | undefined, host: CommandHost): Promise<SoundRecorder | undefined> {
    return choice && new SoundRecorder(await WaveFile.open(choice.path), host)
  }

  private constructor(file: WaveFile, host: CommandHost) {
    this.#file = file
    this.#host = host
  }

  /** Records a machine that has not been started, until it ends. */
  async record(machine: RunningMachine): Promise<void> {
    if (!machine.sound) return
    try {
      await this.#file.begin()
      this.#recorded = this.#record(machine.sound.chunks().getReader())
    } catch (error) {
      say(this.#host, `the sound is not recorded: ${(error as Error).message}`)
    }
  }

  /** Ends the recording of a machine that has ended; what is on its way is in it. */
  async close(): Promise<void> {
    await this.#recorded
    await this.#file.close()
  }

  async #record(reader: ReadableStreamDefaultReader<{ frame: number; samples: Int16Array }>): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        await this.#file.add(value.frame, value.samples)
      }
    } catch (error) {
      say(this.#host, `the sound is not recorded any more: ${(error as Error).message}`)
      await reader.cancel().catch(() => {})
    }
  }
}

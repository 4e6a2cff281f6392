/** Talks with a guest over its serial port: through a process whose standard input and output it is, typetwo's or QEMU's. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Escape sequences of terminals, which are of no interest here. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what they are made of
const SEQUENCES = /\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[()][0-9A-B]|[=>78cDEHM])|[\x00\x0e\x0f]/g

/** The beginning of one at the end of what came so far. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const UNFINISHED = /\x1b(?:\[[0-9;?]*[ -/]*|[()])?$/

/** A machine in a process of its own. */
export class Console {
  /** All that the guest wrote, without escape sequences. */
  text = ''
  /** How much of it has been waited for. */
  #read = 0
  readonly #child: ChildProcess
  readonly #name: string
  readonly #ended: Promise<number | null>
  #over = false
  #unfinished = ''
  #waiting: (() => void) | undefined
  #errors = ''
  /** Processor time that it took, in seconds, as of the last look. */
  seconds = 0

  /**
   * @param name for messages
   * @param show takes what the guest writes, as it comes
   */
  constructor(name: string, command: string, words: readonly string[], show: (text: string) => void = () => {}) {
    this.#name = name
    this.#child = spawn(command, words, { stdio: ['pipe', 'pipe', 'pipe'] })
    const wake = () => this.#waiting?.()
    this.#child.stdout!.setEncoding('latin1').on('data', (text: string) => {
      // A sequence may come in pieces.
      const both = this.#unfinished + text
      const end = UNFINISHED.exec(both)?.index ?? both.length
      this.#unfinished = both.slice(end)
      this.text += both.slice(0, end).replace(SEQUENCES, '')
      show(text)
      wake()
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text
    })
    this.#child.stdin!.on('error', () => {})
    this.#ended = new Promise((resolve, reject) => {
      this.#child.on('error', reject)
      this.#child.on('close', status => {
        this.#over = true
        wake()
        resolve(status)
      })
    })
    this.#ended.catch(() => {})
  }

  /** What the process said on standard error. */
  get errors(): string {
    return this.#errors
  }

  /** The process has ended. */
  get isOver(): boolean {
    return this.#over
  }

  /** Types text. */
  type(text: string): void {
    this.#child.stdin!.write(text)
  }

  /** Types text as slowly as a BIOS needs it, whose buffer of keys has 15 places. */
  async typeSlowly(text: string): Promise<void> {
    for (const letter of text) {
      this.type(letter)
      await new Promise(resolve => setTimeout(resolve, 150))
    }
  }

  /**
   * Waits until the guest has written what matches, behind what was waited for before.
   * @param seconds how long at most
   * @returns the match
   * @throws Error with the last that it wrote
   */
  async until(pattern: RegExp, seconds: number): Promise<RegExpExecArray> {
    const deadline = Date.now() + 1000 * seconds
    for (;;) {
      this.#account()
      const match = pattern.exec(this.text.slice(this.#read))
      if (match) {
        this.#read += match.index + match[0].length
        return match
      }
      const rest = deadline - Date.now()
      if (this.#over || rest <= 0) {
        this.kill()
        const why = this.#over ? 'ended' : `did not come in ${seconds} seconds`
        throw new Error(
          `${this.#name}: ${this.#over ? 'it' : pattern} ${why}${this.#over ? ` without ${pattern}` : ''}; the last of it:\n${this.text.slice(-1500)}\n${this.#errors.slice(-1500)}`,
        )
      }
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, Math.min(rest, 1000))
        this.#waiting = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** Runs a command in the guest's shell. @returns what it wrote */
  async command(line: string, seconds = 60): Promise<string> {
    // The marks as they are typed are not the marks as they are written.
    this.type(`echo "==""begin"; ${line}; echo "==""end $?"\n`)
    await this.until(/==begin\r?\n/, seconds)
    const before = this.#read
    await this.until(/==end \d+/, seconds)
    const written = this.text.slice(before, this.#read)
    return written.slice(0, written.lastIndexOf('==end')).trim()
  }

  /** Waits for the process to end. @returns its exit status */
  async ended(seconds: number): Promise<number | null> {
    const timer = setTimeout(() => this.kill(), 1000 * seconds)
    const looking = setInterval(() => this.#account(), 200)
    try {
      return await this.#ended
    } finally {
      clearTimeout(timer)
      clearInterval(looking)
    }
  }

  /** Ends the process, if it has not ended. */
  kill(): void {
    if (!this.#over) this.#child.kill('SIGTERM')
  }

  /** Notes the processor time of the process, where the host tells. */
  #account(): void {
    try {
      const fields = readFileSync(`/proc/${this.#child.pid}/stat`, 'latin1').split(') ')[1].split(' ')
      this.seconds = (Number(fields[11]) + Number(fields[12])) / 100
    } catch {}
  }
}

/** Somebody in front of a machine: sees its screen, types and points, all by typetwo's commands; its COM1 is there besides. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Console } from '../install/console.ts'
import { decodePng, type Picture } from './picture.ts'

const TYPETWO = join(new URL('../..', import.meta.url).pathname, 'bin/typetwo')
/** Between two looks at a screen: milliseconds. */
const PAUSE = 4000

/** Runs a command of typetwo's. @throws Error with what it complained of */
export function typetwo(...words: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(TYPETWO, words, { encoding: 'utf8', maxBuffer: 1 << 26 }, (error, out, err) => {
      if (error) reject(new Error(`typetwo ${words[0]}: ${err.trim() || error.message}`))
      else resolve(out)
    })
  })
}

export const sleep = (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds))

/** A machine and who uses it. */
export class Seat {
  readonly name: string
  /** What the machine's COM1 leads to. */
  readonly com1: Console
  readonly #folder: string
  readonly #keep: string | undefined
  #shots = 0

  private constructor(name: string, com1: Console, folder: string, keep: string | undefined) {
    this.name = name
    this.com1 = com1
    this.#folder = folder
    this.#keep = keep
  }

  /**
   * Starts a machine.
   * @param words of `typetwo run`
   * @param keep a folder in which screenshots are left
   * @param show takes what the guest writes to COM1
   */
  static async start(
    name: string,
    words: readonly string[],
    { keep, show }: { keep?: string; show?: (text: string) => void } = {},
  ): Promise<Seat> {
    const folder = await mkdtemp(join(tmpdir(), 'typetwo-seat-'))
    const own = `${name}-${process.pid}`
    const com1 = new Console(name, TYPETWO, ['run', '--name', own, ...words], show)
    return new Seat(own, com1, folder, keep)
  }

  /** Runs a command for this machine; again, where the machine does not answer yet or was stopped for a while. */
  async #command(command: string, ...words: string[]): Promise<string> {
    for (let tries = 0; ; tries++)
      try {
        return await typetwo(command, this.name, ...words)
      } catch (error) {
        if (this.com1.isOver || tries > 60 || !/there is no running machine/.test((error as Error).message)) throw error
        await sleep(2000)
      }
  }

  /** A screenshot. @param label names it, where it is kept */
  async look(label?: string): Promise<Picture> {
    const file = join(this.#folder, 'screen.png')
    await this.#command('screenshot', file)
    const png = await readFile(file)
    if (label !== undefined && this.#keep !== undefined) {
      const number = String(++this.#shots).padStart(2, '0')
      await writeFile(join(this.#keep, `${this.name.replace(/-\d+$/, '')}-${number}-${label}.png`), png)
    }
    return decodePng(png)
  }

  /** The characters of a text mode. @throws Error in a graphics mode */
  text(): Promise<string> {
    return this.#command('screen')
  }

  /** Types a text. */
  async type(text: string): Promise<void> {
    await this.#command('type', text)
  }

  /** Presses keys together, one such after the other. */
  async keys(...all: string[]): Promise<void> {
    for (const keys of all) await this.#command('send-keys', keys)
  }

  /** Moves the pointer, and does something there. */
  async mouse(x: number, y: number, action?: string): Promise<void> {
    await this.#command('mouse', String(x), String(y), ...(action === undefined ? [] : [action]))
  }

  /**
   * Waits until a screenshot is as it should be.
   * @param is says whether, or gives what was looked for
   * @param what for the message
   * @throws Error with what is said of the last one
   */
  async untilPicture<T>(what: string, is: (picture: Picture) => T | undefined | false, seconds: number): Promise<T> {
    return this.#until(
      what,
      async () => is(await this.look()) || undefined,
      seconds,
      async () => {
        await this.look('in-vain').catch(() => {})
        return (await this.text().catch(() => '')) || 'a picture'
      },
    )
  }

  /** Waits for text on the screen, in a text mode. @returns the match */
  async untilText(pattern: RegExp, seconds: number): Promise<RegExpExecArray> {
    const text = () => this.text().catch(() => '')
    return this.#until(String(pattern), async () => pattern.exec(await text()) ?? undefined, seconds, text)
  }

  async #until<T>(
    what: string,
    look: () => Promise<T | undefined>,
    seconds: number,
    last: () => Promise<string>,
  ): Promise<T> {
    const deadline = Date.now() + 1000 * seconds
    for (;;) {
      const found = await look().catch(error => {
        // It takes a moment until a machine is there; one that is gone does not come back.
        if (this.com1.isOver || Date.now() > deadline) throw error
        return undefined
      })
      if (found !== undefined) return found
      if (this.com1.isOver)
        throw new Error(`${this.name} ended before there was ${what}: ${this.com1.errors.slice(-1000)}`)
      if (Date.now() > deadline)
        throw new Error(
          `${this.name}: there was no ${what} in ${seconds} seconds; at last the screen had:\n${await last()}`,
        )
      await sleep(PAUSE)
    }
  }

  /** Ends the machine. */
  async close(): Promise<void> {
    this.com1.kill()
    await this.com1.ended(60).catch(() => {})
    await rm(this.#folder, { recursive: true, force: true })
  }
}

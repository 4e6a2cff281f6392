/** Text as keys, no faster than a guest takes them. */
import type { Clock, Timer } from '../devices/bus.ts'
import type { Ps2Keyboard } from '../devices/ps2/keyboard.ts'
import { Layout, type Stroke } from './layouts.ts'

const MILLISECOND = 1_000_000
/** Guest time from one step (keys go down, or up) to the next. A BIOS has room for 15 keys that a program did not read yet. */
const STEP = 6 * MILLISECOND
/** A guest that takes no key for so long does not read its keyboard. */
const PATIENCE = 10_000 * MILLISECOND
/** Texts that wait for others to be typed. */
const MOST_WAITING = 100
/** Characters of a text. */
const LONGEST = 1_000_000

/** A text that is being typed. */
interface Job {
  strokes: Stroke[]
  next: number
  done(error?: string): void
}

/** Types on a keyboard. */
export class Typist {
  readonly #keyboard: Ps2Keyboard
  readonly #clock: Clock
  readonly #timer: Timer
  readonly #jobs: Job[] = []
  /** Keys that are down now, in the order in which they are to go up. */
  #down: string[] = []
  /** Since when the keyboard's buffer was not empty. */
  #waitingSince = 0

  constructor(clock: Clock, keyboard: Ps2Keyboard) {
    this.#clock = clock
    this.#keyboard = keyboard
    this.#timer = clock.timer(() => this.#step())
  }

  /** Types a text behind what is being typed. @param done is called once, with a sentence where it could not be typed */
  type(text: string, layoutName: string, done: (error?: string) => void): void {
    let layout: Layout
    try {
      layout = new Layout(layoutName)
    } catch (error) {
      done((error as Error).message)
      return
    }
    if (text.length > LONGEST || this.#jobs.length >= MOST_WAITING) {
      done(`so much text cannot be typed: give at most ${LONGEST} characters at once, and wait until they are typed`)
      return
    }
    const strokes: Stroke[] = []
    // A line's end is one key, however it is written.
    for (const character of text.normalize('NFC').replace(/\r\n/g, '\n')) {
      const some = layout.strokes(character)
      if (some === undefined) {
        done(`the keyboard layout '${layoutName}' has no key for '${character}': choose another layout`)
        return
      }
      strokes.push(...some)
    }
    this.#jobs.push({ strokes, next: 0, done })
    if (this.#jobs.length === 1) this.#begin()
  }

  /** The machine was reset: what is not typed yet never will be. */
  reset(): void {
    this.#timer.cancel()
    for (const code of this.#down) this.#keyboard.release(code)
    this.#down = []
    for (const { strokes, next, done } of this.#jobs.splice(0))
      done(next < strokes.length ? 'the guest was reset before all was typed' : undefined)
  }

  #begin(): void {
    this.#waitingSince = this.#clock.now()
    this.#step()
  }

  #step(): void {
    const job = this.#jobs[0]
    if (job === undefined) return
    const now = this.#clock.now()
    if (this.#keyboard.ready) {
      if (now - this.#waitingSince < PATIENCE) this.#timer.arm(now + STEP)
      else this.#finish('the guest does not read its keyboard: wait until it does')
      return
    }
    this.#waitingSince = now
    if (this.#down.length > 0) this.#releaseAll()
    else if (job.next < job.strokes.length) this.#press(job.strokes[job.next++])
    else {
      this.#finish()
      return
    }
    this.#timer.arm(now + STEP)
  }

  #press({ code, shift, altGr, letter }: Stroke): void {
    const { leds } = this.#keyboard
    if (shift !== (letter && leds.caps)) this.#hold('ShiftLeft')
    if (altGr) this.#hold('AltRight')
    this.#hold(code)
  }

  #hold(code: string): void {
    this.#keyboard.press(code)
    this.#down.unshift(code)
  }

  #releaseAll(): void {
    for (const code of this.#down) this.#keyboard.release(code)
    this.#down = []
  }

  #finish(error?: string): void {
    this.#releaseAll()
    this.#jobs.shift()!.done(error)
    if (this.#jobs.length > 0) this.#begin()
  }
}

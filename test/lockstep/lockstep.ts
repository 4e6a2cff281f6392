/**
 * Two engines on the same guest, stopped at the same instruction counts and compared: registers at every stop, memory
 * now and then. The first difference is looked for again with short slices, down to the code that makes it.
 */
import type { EngineChoice } from '../../src/machine/messages.ts'
import { differentFrames, frameDifference, processorDifferences, sameFrame, sameProcessor } from './compare.ts'
import { Guest, type GuestEnd, type GuestOptions } from './guest.ts'
import { describeWindow } from './window.ts'

/** What is compared with what, and how often. */
export interface LockstepOptions extends GuestOptions {
  /** Compared with the interpreter. */
  engine: EngineChoice
  /** Instructions between two comparisons of registers. */
  slice: number
  /** The other engine gets there in pieces of so many instructions, which must make no difference; by default in one. */
  pieces?: number
  /** Slices between two comparisons of memory. */
  memoryEvery: number
  /** Instructions after which it is enough. */
  limit: number
  /** Whether a difference is looked for more closely, by running both guests again. */
  bisect: boolean
  /** Hears of the progress. */
  progress?: (instructions: number) => void
}

/** How it went. */
export interface LockstepResult {
  /** Instructions executed by both. */
  instructions: number
  end: GuestEnd | undefined
  serial: string
  /** Undefined when they never differed; else what differed, for people. */
  difference: string | undefined
}

/** Slices for the closer look, in instructions: translated code is run as such only where a slice holds its blocks. */
const WINDOWS = [50, 1000, 20000]

/** Runs a guest on the interpreter and on another engine in lock-step. */
export async function lockstep(options: LockstepOptions): Promise<LockstepResult> {
  const { slice, memoryEvery, limit } = options
  const [a, b] = await pair(options)
  let target = 0
  let memoryGood = 0
  for (let n = 1; ; n++) {
    const good = target
    target += slice
    const goes = a.runTo(target)
    for (let at = target - slice; at < target; ) {
      at = Math.min(target, at + (options.pieces ?? slice))
      b.runTo(at)
    }
    options.progress?.(a.instructions)
    const over = !goes || target >= limit
    if (!same(a, b)) {
      const lines = differences(a, b)
      const close = options.bisect ? await look(options, good, target, []) : ''
      return result(a, `at ${target}, equal at ${good}:\n${lines}\n${close}`)
    }
    if (over || n % memoryEvery === 0) {
      const frames = differentFrames(a.pc.memory, b.pc.memory)
      if (frames.length) {
        const lines = frames.map(f => frameDifference(a.pc.memory, b.pc.memory, f)).join('\n')
        const close = options.bisect ? await look(options, memoryGood, target, frames) : ''
        return result(a, `memory at ${target}, equal at ${memoryGood}:\n${lines}\n${close}`)
      }
      memoryGood = target
    }
    if (over) return result(a, undefined)
  }
}

async function pair(options: LockstepOptions): Promise<[Guest, Guest]> {
  return [
    await Guest.create(options, 'interpreter'),
    await Guest.create({ ...options, transmit: undefined }, options.engine),
  ]
}

const result = (a: Guest, difference: string | undefined): LockstepResult => ({
  instructions: a.instructions,
  end: a.end,
  serial: a.serial,
  difference,
})

function same(a: Guest, b: Guest): boolean {
  return (
    sameProcessor(a.vcpu, b.vcpu) &&
    a.end?.kind === b.end?.kind &&
    a.serial === b.serial &&
    a.pc.clock.now() === b.pc.clock.now()
  )
}

function differences(a: Guest, b: Guest): string {
  const lines = processorDifferences(a.vcpu, b.vcpu)
  if (a.end?.kind !== b.end?.kind) lines.push(`end: ${a.end?.kind} and ${b.end?.kind}`)
  if (a.serial !== b.serial) {
    lines.push(`serial: ${JSON.stringify(a.serial.slice(-200))} and ${JSON.stringify(b.serial.slice(-200))}`)
  }
  const [x, y] = [a.pc.clock.now(), b.pc.clock.now()]
  if (x !== y) lines.push(`clock: ${x} and ${y}`)
  return lines.join('\n')
}

/** Runs both again to where they were equal, and from there in short slices, the interpreter step by step. */
async function look(options: LockstepOptions, good: number, bad: number, frames: number[]): Promise<string> {
  for (const window of WINDOWS) {
    const [a, b] = await pair({ ...options, transmit: undefined })
    for (let at = 0; at < good; at = a.instructions) {
      a.runTo(Math.min(good, at + options.slice))
      b.runTo(Math.min(good, at + options.slice))
    }
    if (!same(a, b)) return `not the same again at ${good}: the run is not repeatable:\n${differences(a, b)}`
    for (let at = good; at < bad; at += window) {
      const trace: bigint[] = []
      for (let i = a.instructions; i < at + window && !a.end; i = a.instructions) {
        trace.push(a.vcpu.rip)
        a.runTo(i + 1)
      }
      b.runTo(at + window)
      const changed = frames.filter(f => !sameFrame(a.pc.memory, b.pc.memory, f))
      if (same(a, b) && changed.length === 0) continue
      const lines = [differences(a, b), ...changed.map(f => frameDifference(a.pc.memory, b.pc.memory, f))]
      return `first between ${at} and ${at + window}:\n${lines.join('\n')}\n${describeWindow(a.vcpu, trace)}`
    }
  }
  return 'no difference in shorter slices'
}

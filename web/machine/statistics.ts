/** The line of figures: how fast the machine is, and how much of its thread it takes. */
import type { Machine, Stats } from '../../src/hosts/browser/index.ts'

const PERIOD = 1000

function clockText(seconds: number): string {
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0')
  const minutes = `${two((seconds / 60) % 60)}:${two(seconds % 60)}`
  return seconds >= 3600 ? `${Math.floor(seconds / 3600)}:${minutes}` : minutes
}

/** Asks a machine once a second, while the page is seen. */
export class Statistics {
  readonly #timer: ReturnType<typeof setInterval>
  #before: { stats: Stats; time: number } | undefined

  /** @param show takes the line */
  constructor(machine: Machine, show: (line: string) => void) {
    this.#timer = setInterval(async () => {
      if (document.hidden || machine.state === 'stopped') return
      const stats = await machine.stats().catch(() => undefined)
      if (!stats) return
      const now = { stats, time: performance.now() }
      const before = this.#before
      this.#before = now
      if (!before) return
      const seconds = (now.time - before.time) / 1000
      const busy = Math.min(1, (stats.busySeconds - before.stats.busySeconds) / seconds)
      const mips = (stats.instructions - before.stats.instructions) / seconds / 1e6
      const speed = mips >= 10 ? mips.toFixed(0) : mips.toFixed(1)
      show(`${speed} MIPS · ${Math.round(busy * 100)} % busy · ${clockText(stats.guestSeconds)}`)
    }, PERIOD)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

/** The measurements: boot, programs, and the guest at rest. */
import type { Peer } from './guests.ts'
import { busyTime, GuestProcess } from './process.ts'

/** One measured time. */
export interface Sample {
  /** Seconds on the host. */
  seconds: number
  /** The share of the pinned CPU that other processes took meanwhile: 0 to 1. */
  others: number
}

/** What is known of one peer's run of one thing. */
export interface Cell {
  samples: Sample[]
  /** The checksums that the guest printed: more than one when its runs differed. */
  checks: string[]
  /** The console's last lines when it did not get to its end. */
  failure: string | undefined
}

/** A guest at rest at its shell's prompt. */
export interface Rest {
  /** MiB. */
  residentMemory: number
  /** Percent of one CPU. */
  idleCpu: number
}

/** Where and how long. */
export interface Conditions {
  /** The command of a peer's guest that gets `bench=` and this word. */
  command: (peer: Peer, bench: string) => string[]
  cpu: number | undefined
  /** Seconds of silence after which a guest is given up. */
  timeout: number
  /** Tells what was measured just now. */
  progress: (line: string) => void
}

/** A cell to be filled. */
export const emptyCell = (): Cell => ({ samples: [], checks: [], failure: undefined })

/** Measures what others took of the CPU besides a process. */
class Meter {
  private readonly busy: number
  private readonly own: number
  private readonly guest: GuestProcess
  private readonly cpu: number | undefined
  constructor(guest: GuestProcess, cpu: number | undefined) {
    this.guest = guest
    this.cpu = cpu
    this.busy = busyTime(cpu)
    this.own = guest.cpuTime()
  }
  others(seconds: number): number {
    if (this.cpu === undefined) return 0
    const taken = busyTime(this.cpu) - this.busy - (this.guest.cpuTime() - this.own)
    // Both are counted in ticks of 10 ms: less than two of them say nothing.
    return taken <= 0.02 ? 0 : Math.min(1, taken / Math.max(seconds, 0.2))
  }
}

/** Boots once: from the start of the process to the line READY. */
export async function measureBoot(
  peer: Peer,
  { command, cpu, timeout, progress }: Conditions,
  cell: Cell,
): Promise<void> {
  const guest = new GuestProcess(command(peer, 'boot'), cpu)
  const meter = new Meter(guest, cpu)
  const seconds = await guest.seen('READY', timeout)
  if (seconds === undefined) cell.failure = guest.last.join(' | ')
  else cell.samples.push({ seconds, others: meter.others(seconds) })
  progress(`${peer.padEnd(8)} boot ${seconds === undefined ? 'FAILED' : seconds.toFixed(3)}`)
  await guest.end()
}

/** Boots to a shell, waits until all is quiet, and looks at the process for `seconds`. */
export async function measureRest(
  peer: Peer,
  { command, cpu, timeout, progress }: Conditions,
  seconds: number,
): Promise<Rest | undefined> {
  const guest = new GuestProcess(command(peer, 'shell'), cpu, true)
  try {
    if ((await guest.seen('SHELL', timeout)) === undefined) {
      progress(`${peer.padEnd(8)} idle FAILED: ${guest.last.join(' | ')}`)
      return undefined
    }
    const sleep = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))
    await sleep(5000)
    const [from, before] = [performance.now(), guest.cpuTime()]
    await sleep(seconds * 1000)
    const idleCpu = ((guest.cpuTime() - before) / (performance.now() - from)) * 1e5
    const rest = { residentMemory: guest.residentMemory(), idleCpu }
    progress(`${peer.padEnd(8)} idle ${rest.idleCpu.toFixed(1)} % CPU, ${rest.residentMemory.toFixed(0)} MiB`)
    return rest
  } finally {
    await guest.end()
  }
}

/**
 * Runs programs in one guest and times each from its line BEGIN to its line END. When the guest dies, or hangs in one,
 * another guest goes on with those after it.
 * @param names the programs, or undefined for all that the guest has
 */
export async function measurePrograms(
  peer: Peer,
  { command, cpu, timeout, progress }: Conditions,
  names: readonly string[] | undefined,
  cells: Map<string, Cell>,
): Promise<void> {
  let left = names
  while (left === undefined || left.length > 0) {
    const guest = new GuestProcess(command(peer, left?.join() ?? 'all'), cpu)
    const run = new ProgramRun(guest, cpu, cells, line => progress(`${peer.padEnd(8)} ${line}`))
    let done = false
    for (;;) {
      const line = await guest.line(timeout)
      if (!line) break
      if (line.text.includes('ALLDONE')) done = true
      if (done) break
      run.take(line.text, line.time)
    }
    await guest.end()
    if (done) return
    const finished = left?.findLastIndex(name => run.finished.has(name)) ?? -1
    const stuck = run.current ?? left?.[finished + 1] ?? 'boot'
    cellOf(cells, stuck).failure = `did not come to its end; the console's last lines: ${guest.last.join(' | ')}`
    progress(`${peer.padEnd(8)} ${stuck} FAILED: ${guest.last.join(' | ')}`)
    left = left?.slice(left.indexOf(stuck) + 1) ?? []
  }
}

const cellOf = (cells: Map<string, Cell>, name: string): Cell => {
  let cell = cells.get(name)
  if (!cell) cells.set(name, (cell = emptyCell()))
  return cell
}

/** Follows the console of a guest that runs programs. */
class ProgramRun {
  readonly finished = new Set<string>()
  /** The program that has begun and not ended. */
  current: string | undefined
  private begin = 0
  private meter: Meter | undefined
  private readonly guest: GuestProcess
  private readonly cpu: number | undefined
  private readonly cells: Map<string, Cell>
  private readonly progress: (line: string) => void

  constructor(
    guest: GuestProcess,
    cpu: number | undefined,
    cells: Map<string, Cell>,
    progress: (line: string) => void,
  ) {
    this.guest = guest
    this.cpu = cpu
    this.cells = cells
    this.progress = progress
  }

  take(text: string, time: number): void {
    const [, edge, name] = /(BEGIN|END) (\w+)$/.exec(text) ?? []
    if (edge === 'BEGIN') {
      this.current = name
      this.begin = time
      this.meter = new Meter(this.guest, this.cpu)
    } else if (edge === 'END' && name === this.current) {
      const seconds = time - this.begin
      cellOf(this.cells, name).samples.push({ seconds, others: this.meter!.others(seconds) })
      this.finished.add(name)
      this.current = undefined
      this.progress(`${name.padEnd(12)} ${seconds.toFixed(3)}`)
    }
    const [, checked, check] = /BENCH (\w+) [\d.]+ check=(\w+)/.exec(text) ?? []
    if (check) {
      const { checks } = cellOf(this.cells, checked)
      if (!checks.includes(check)) checks.push(check)
    }
    const [, absent] = /NOBENCH (\w+)/.exec(text) ?? []
    if (absent) {
      cellOf(this.cells, absent).failure = 'the guest has no such program'
      this.finished.add(absent)
    }
  }
}

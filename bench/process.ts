/** A guest as a process of its own, seen from the host: the lines of its console with their times, its CPU time and memory. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** A line of the guest's console and when the host saw its end: seconds since the process was started. */
export interface TimedLine {
  text: string
  time: number
}

/** Clock ticks a second in /proc (USER_HZ, fixed on Linux). */
const TICKS = 100

/** Kilobytes a resident page is counted in by VmRSS. */
const KILOBYTES = 1024

/** How long a process may take to end when it is told to: milliseconds. */
const PATIENCE = 3000

/** A running guest. */
export class GuestProcess {
  /** The console's last lines, for a report of what went wrong. */
  readonly last: string[] = []
  private readonly child: ChildProcess
  private readonly started: number
  private readonly lines: TimedLine[] = []
  private rest = ''
  private over = false
  private wake: (() => void) | undefined

  /**
   * @param command the words of the command; its standard output is the guest's COM1
   * @param cpu the CPU that the process and its threads stay on, or undefined
   * @param open whether standard input stays open, else it is empty
   */
  constructor(command: readonly string[], cpu: number | undefined, open = false) {
    const [file, ...words] = cpu === undefined ? command : ['taskset', '-c', String(cpu), ...command]
    this.started = performance.now()
    this.child = spawn(file, words, { stdio: [open ? 'pipe' : 'ignore', 'pipe', 'pipe'] })
    this.child.stdout!.on('data', (bytes: Buffer) => this.arrived(bytes.toString('latin1')))
    this.child.stderr!.on('data', (bytes: Buffer) => this.remember(bytes.toString('latin1').trimEnd()))
    this.child.on('error', error => this.ended(error.message))
    this.child.on('close', () => this.ended())
  }

  private arrived(text: string): void {
    const time = (performance.now() - this.started) / 1000
    const lines = (this.rest + text).split('\n')
    this.rest = lines.pop()!
    for (const line of lines) {
      const clean = line.replace(/\r/g, '')
      this.lines.push({ text: clean, time })
      this.remember(clean)
    }
    this.wake?.()
  }

  private ended(why?: string): void {
    if (why) this.remember(why)
    this.over = true
    this.wake?.()
  }

  private remember(line: string): void {
    this.last.push(line)
    if (this.last.length > 4) this.last.shift()
  }

  /** The next line of the console, or undefined when the process ended or nothing came for `seconds`. */
  async line(seconds: number): Promise<TimedLine | undefined> {
    while (this.lines.length === 0 && !this.over) {
      const { promise, resolve } = Promise.withResolvers<boolean>()
      const timer = setTimeout(() => resolve(false), seconds * 1000)
      this.wake = () => resolve(true)
      const came = await promise
      clearTimeout(timer)
      if (!came) return undefined
    }
    return this.lines.shift()
  }

  /** The time of the first line that holds `text`, or undefined when none came for `seconds`. */
  async seen(text: string, seconds: number): Promise<number | undefined> {
    for (;;) {
      const line = await this.line(seconds)
      if (!line) return undefined
      if (line.text.includes(text)) return line.time
    }
  }

  /** CPU time of the process with all its threads: seconds. */
  cpuTime(): number {
    // proc(5): the fields after the name in parentheses; 14 to 17 are utime, stime, cutime, cstime.
    const fields = this.proc('stat')
      .slice(this.proc('stat').lastIndexOf(')') + 2)
      .split(' ')
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS
  }

  /** Resident memory: MiB. */
  residentMemory(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(this.proc('status'))?.[1] ?? 0) / KILOBYTES
  }

  private proc(file: string): string {
    try {
      return readFileSync(`/proc/${this.child.pid}/${file}`, 'latin1')
    } catch {
      return ''
    }
  }

  /** Ends the process, gently if it lets itself. */
  async end(): Promise<void> {
    if (!this.over) {
      this.child.kill('SIGTERM')
      const timer = setTimeout(() => this.child.kill('SIGKILL'), PATIENCE)
      while (!this.over) await new Promise<void>(resolve => (this.wake = resolve))
      clearTimeout(timer)
    }
  }
}

/** Seconds that a CPU was busy with anything since it was switched on; what others took of it shows as the difference. */
export function busyTime(cpu: number | undefined): number {
  if (cpu === undefined) return 0
  const line = readFileSync('/proc/stat', 'latin1')
    .split('\n')
    .find(line => line.startsWith(`cpu${cpu} `))
  if (!line) return 0
  // user nice system idle iowait irq softirq steal
  const ticks = line.split(/\s+/).slice(1, 9).map(Number)
  return (ticks.reduce((sum, part) => sum + part, 0) - ticks[3] - ticks[4]) / TICKS
}

/** A guest of ../shared/bench run by the library, the same in Node and in a page. */
import type { Machine, MachineOptions } from '../src/index.ts'

/** What a run of a guest showed. */
export interface GuestRun {
  /** Seconds from making the machine to the line READY. */
  boot: number
  /** Seconds of each program, by the guest's own clock, which is the host's. */
  programs: Record<string, number>
  /** Checksums of what they computed. */
  checks: Record<string, string>
}

/**
 * Runs a guest to its end.
 * @param said is told `boot` when the guest is there, and the name of each program when it has ended
 * @throws Error when it ends otherwise than by turning itself off
 */
export async function runGuest(
  create: (options: MachineOptions) => Promise<Machine>,
  options: MachineOptions,
  said: (name: string) => void = () => {},
): Promise<GuestRun> {
  const from = performance.now()
  const machine = await create({ ...options, reboot: false })
  const run: GuestRun = { boot: 0, programs: {}, checks: {} }
  let text = ''
  let told = 0
  const decoder = new TextDecoder()
  const read = machine.serial[0].readable.pipeTo(
    new WritableStream({
      write(bytes) {
        text += decoder.decode(bytes)
        if (run.boot === 0 && text.includes('READY')) {
          run.boot = (performance.now() - from) / 1000
          said('boot')
        }
        const ended = [...text.matchAll(/^BENCH (\S+) .*\r?\n/gm)]
        for (const [, name] of ended.slice(told)) said(name)
        told = ended.length
      },
    }),
  )
  await machine.start()
  const end = await machine.stopped
  await read
  if (end.reason !== 'poweroff') throw new Error(`the guest ended by ${end.reason}: ${end.message ?? text.slice(-500)}`)
  for (const [, name, seconds, check] of text.matchAll(/^BENCH (\S+) ([\d.]+) check=(\S+)/gm)) {
    run.programs[name] = Number(seconds)
    run.checks[name] = check
  }
  return run
}

/** What people and programs want to know of a machine. */
import { type ControlTarget, earlyCommand } from './command.ts'
import type { Json } from './protocol.ts'

/** The result of the command `info`. */
export interface MachineInfo {
  name: string
  /** `starting` while it is being made, then as {@link Machine.state}. */
  state: string
  pid: number
  /** When it was started, ISO 8601. */
  started: string
  /** Seconds of CPU time that its process has used. */
  cpuSeconds: number
  /** Bytes of memory that its process has from the system. */
  residentBytes: number
  /** What it was started with: `boots` (for people), `memory` in bytes, `engine`, `cpu`, `machine`, `clock`. */
  facts: { readonly [name: string]: Json | undefined }
  drives: { name: string; kind: string; bus: string; medium: string | null }[]
  ports: { name: string; leads: string; attached: number; dropped: number }[]
  /** Guest instructions executed, and seconds of guest time; null where the machine does not tell in time. */
  guest: { instructions: number; seconds: number } | null
}

/** How long the machine's own thread may take to tell its counts: milliseconds. */
const PATIENCE = 2000

/** Result: {@link MachineInfo}. No parameters. */
export const INFO = earlyCommand({ parameters: {}, run: async target => (await infoOf(target)) as unknown as Json })

async function infoOf(target: ControlTarget): Promise<MachineInfo> {
  const { machine } = target
  return {
    name: target.name,
    state: !machine || machine.state === 'created' ? 'starting' : machine.state,
    ...target.usage(),
    started: target.started.toISOString(),
    facts: target.facts,
    drives: (machine?.drives ?? []).map(({ name, kind, bus, medium }) => ({ name, kind, bus, medium: medium ?? null })),
    ports: target.ports.map(({ name, leads, hub, line }) => ({
      name,
      leads,
      attached: hub.peers,
      dropped: line?.dropped ?? 0,
    })),
    guest: machine ? await countsOf(machine) : null,
  }
}

async function countsOf(machine: { stats(): Promise<{ instructions: number; guestSeconds: number }> }) {
  const { promise, resolve } = Promise.withResolvers<null>()
  const timer = setTimeout(() => resolve(null), PATIENCE)
  const told = machine.stats().then(
    ({ instructions, guestSeconds }) => ({ instructions, seconds: guestSeconds }),
    () => null,
  )
  return Promise.race([told, promise]).finally(() => clearTimeout(timer))
}

/** `typetwo ls` and `typetwo info`: what runs, for people and for programs. */
import type { MachineInfo } from '../control/info.ts'
import { textTable } from '../text-table.ts'
import { ask } from './control.ts'
import { type CommandHost, print } from './host.ts'
import { formatSize } from './size.ts'

/** `typetwo ls` */
export async function list({ json }: { json?: true }, host: CommandHost): Promise<number> {
  const machines = await host.control.list()
  if (json) return print(host, `${JSON.stringify(machines, null, 2)}\n`)
  if (machines.length === 0) return 0
  const rows = machines.map(machine =>
    'pid' in machine
      ? [
          machine.name,
          String(machine.pid),
          machine.state,
          memoryOf(machine),
          formatSeconds(machine.cpuSeconds),
          formatSeconds(ageOf(machine)),
          String(machine.facts.boots ?? ''),
        ]
      : [machine.name, '', machine.state, '', '', '', ''],
  )
  return print(host, textTable([['NAME', 'PID', 'STATE', 'MEMORY', 'CPU', 'UP', 'BOOTS'], ...rows]))
}

/** `typetwo info` */
export async function info({ name, json }: { name?: string; json?: true }, host: CommandHost): Promise<number> {
  return ask(host, name!, 'info', {}, result => {
    const machine = result as unknown as MachineInfo
    return print(host, json ? `${JSON.stringify(machine, null, 2)}\n` : page(machine))
  })
}

function page(machine: MachineInfo): string {
  const { facts, guest } = machine
  const rows: string[][] = [
    ['name', machine.name],
    ['state', machine.state],
    ['process', String(machine.pid)],
    ['started', `${machine.started}, ${formatSeconds(ageOf(machine))} ago`],
    ['boots', String(facts.boots ?? '')],
    ['memory', `${memoryOf(machine)}; the process has ${formatSize(machine.residentBytes)}`],
    ['CPU time', formatSeconds(machine.cpuSeconds)],
  ]
  if (guest) {
    const { instructions, seconds } = guest
    rows.push(['guest', `${formatSeconds(seconds)} of its time, ${instructions.toLocaleString('en-US')} instructions`])
  }
  for (const name of ['machine', 'cpu', 'engine', 'clock'])
    if (facts[name] !== undefined) rows.push([name, String(facts[name])])
  for (const { name, kind, bus, medium } of machine.drives)
    rows.push([name, `${kind === bus ? kind : `${kind} at ${bus}`}: ${medium ?? 'empty'}`])
  for (const { name, leads, attached, dropped } of machine.ports) {
    const lost = dropped > 0 ? `, ${dropped} bytes dropped` : ''
    rows.push([name, `${leads}${attached > 0 ? `, ${attached} attached` : ''}${lost}`])
  }
  return textTable(rows)
}

function memoryOf({ facts }: MachineInfo): string {
  return typeof facts.memory === 'number' ? formatSize(facts.memory) : ''
}

function ageOf({ started }: MachineInfo): number {
  return Math.max(0, (Date.now() - Date.parse(started)) / 1000)
}

/** Seconds as people write them, in at most two units: `4.2s`, `3m 20s`, `5d 3h`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? Math.floor(seconds * 10) / 10 : Math.floor(seconds)}s`
  const units = [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'm'],
    [1, 's'],
  ] as const
  const first = units.findIndex(([length]) => seconds >= length)
  const [length, unit] = units[first]
  const [nextLength, nextUnit] = units[first + 1]
  return `${Math.floor(seconds / length)}${unit} ${Math.floor((seconds % length) / nextLength)}${nextUnit}`
}

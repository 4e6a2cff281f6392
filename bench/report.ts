/** What the measurements come to: medians, ratios, the geometric mean, and tables of them. */
import type { Cell, Rest, Sample } from './measure.ts'

/** All that one run of the bench found. */
export interface Results {
  /** Where and when, in words. */
  circumstances: Record<string, string>
  boot: Record<string, Cell>
  /** By program, then by peer. */
  programs: Record<string, Record<string, Cell>>
  rest: Record<string, Rest | undefined>
}

/** Others may take this share of the CPU without a run being set aside. */
const CONTENDED = 0.05

/** The middle one, or the mean of the two in the middle; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 ? sorted[middle | 0] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The geometric mean; NaN of nothing. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
}

/**
 * The median of the runs that others left alone. When there is none such, it is not `clean`: the median of what is left
 * of each run without the others' share.
 */
export function settle(samples: readonly Sample[]): { seconds: number; clean: boolean } {
  const alone = samples.filter(({ others }) => others < CONTENDED)
  if (alone.length > 0) return { seconds: median(alone.map(({ seconds }) => seconds)), clean: true }
  return { seconds: median(samples.map(({ seconds, others }) => seconds * (1 - others))), clean: false }
}

/** A line of the table. */
export interface Row {
  name: string
  /** Seconds. */
  typetwo: number
  tcg: number
  ratio: number
  /** What a reader must know: a failure, a wrong checksum, contention. */
  notes: string[]
}

/** A line of two cells. */
export function rowOf(name: string, typetwo: Cell | undefined, tcg: Cell | undefined): Row {
  const [own, other] = [settle(typetwo?.samples ?? []), settle(tcg?.samples ?? [])]
  const notes: string[] = []
  if (typetwo?.failure) notes.push('FAILED')
  if (tcg?.failure) notes.push('failed in TCG')
  const checks = typetwo?.checks ?? []
  if (typetwo && tcg && tcg.checks.length > 0 && !typetwo.failure) {
    if (checks.length === 0) notes.push('NO CHECKSUM')
    else if (checks.length > 1 || checks[0] !== tcg.checks[0]) notes.push('WRONG CHECKSUM')
  }
  const measured = (typetwo?.samples.length ?? 0) > 0 && (tcg?.samples.length ?? 0) > 0
  if (measured && !(own.clean && other.clean)) notes.push('CPU was shared')
  return { name, typetwo: own.seconds, tcg: other.seconds, ratio: own.seconds / other.seconds, notes }
}

/** The lines for the programs. */
export const programRows = ({ programs }: Results): Row[] =>
  Object.entries(programs).map(([name, cells]) => rowOf(name, cells.typetwo, cells.tcg))

/** Whether everything ran to its end with TCG's checksums. */
export function allRight(results: Results): boolean {
  const rows = [rowOf('boot', results.boot.typetwo, results.boot.tcg), ...programRows(results)]
  return rows.every(({ notes }) => !notes.some(note => note !== 'CPU was shared'))
}

const shown = (value: number, digits: number): string => (Number.isFinite(value) ? value.toFixed(digits) : '-')

const cellsOf = ({ name, typetwo, tcg, ratio, notes }: Row): string[] => [
  name,
  shown(typetwo, 3),
  shown(tcg, 3),
  shown(ratio, 2),
  notes.join(', '),
]

/** The table as rows of cells, the first being the heading. */
function tableOf(results: Results): string[][] {
  const rows = programRows(results)
  const { boot, rest } = results
  const table = [['', 'typetwo', 'QEMU TCG', 'ratio', '']]
  if (Object.keys(boot).length > 0) table.push(cellsOf(rowOf('boot to READY (s)', boot.typetwo, boot.tcg)))
  for (const row of rows) table.push(cellsOf({ ...row, name: `${row.name} (s)` }))
  const ratios = rows.map(({ ratio }) => ratio).filter(Number.isFinite)
  if (ratios.length > 0) {
    table.push([`geometric mean of ${ratios.length} programs`, '', '', shown(geometricMean(ratios), 2), ''])
  }
  const { typetwo, tcg } = rest
  if (typetwo || tcg) {
    const line = (name: string, of: (rest: Rest) => number, digits: number) => {
      const [own, other] = [typetwo ? of(typetwo) : Number.NaN, tcg ? of(tcg) : Number.NaN]
      return [name, shown(own, digits), shown(other, digits), shown(own / other, 2), '']
    }
    table.push(line('resident memory after boot (MiB)', rest => rest.residentMemory, 0))
    table.push(line('CPU of an idle guest (%)', rest => rest.idleCpu, 1))
  }
  return table
}

/** For a terminal. */
export function asText(results: Results): string {
  const table = tableOf(results)
  const widths = table[0].map((_, column) => Math.max(...table.map(row => row[column].length)))
  const lines = table.map(row =>
    row
      .map((cell, column) =>
        column === 0 || column === 4 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join('  ')
      .trimEnd(),
  )
  const circumstances = Object.entries(results.circumstances).map(([name, value]) => `${name}: ${value}`)
  return `${[...circumstances, '', ...lines].join('\n')}\n`
}

/** For docs/performance.md. */
export function asMarkdown(results: Results): string {
  const [heading, ...rows] = tableOf(results)
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  const circumstances = Object.entries(results.circumstances).map(([name, value]) => `- ${name}: ${value}`)
  return `${[...circumstances, '', line(heading), '|---|---:|---:|---:|---|', ...rows.map(line)].join('\n')}\n`
}

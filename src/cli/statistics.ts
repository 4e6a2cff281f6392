/** The counters of a machine as a table for people. */
import type { Stats } from '../index.ts'

/** Counters of the engines in words; one that is missing here is shown under its own name in words, behind these. */
const ENGINE_LABELS: Record<string, string> = {
  interpretedInstructions: 'instructions by the interpreter',
  translatedInstructions: 'instructions by translated code',
  regions: 'translated regions',
  regionInstructions: 'instructions in them',
  dropped: 'regions dropped',
  refused: 'regions refused',
  modules: 'WebAssembly modules',
  codeBytes: 'their code, bytes',
}

/** Counters that are times: they stand under where the time went. */
const TIMES: Record<string, string> = {
  translateMilliseconds: 'translating',
  compileMilliseconds: 'compiling WebAssembly',
}

/**
 * Formats the counters: a line for each, with those that belong together indented below a title.
 * @returns lines, each with its end
 */
export function formatStatistics(stats: Stats): string {
  const rows: [string, string][] = []
  const { instructions, busySeconds, guestSeconds, exits, engine, engineStats } = stats
  const rate = busySeconds > 0 ? instructions / busySeconds / 1e6 : 0
  rows.push(['engine', engine], ['guest instructions', formatNumber(instructions)])
  rows.push(['million instructions a second (MIPS)', formatNumber(rate, 1)])
  rows.push(
    ['seconds of guest time', formatNumber(guestSeconds, 3)],
    ['seconds executing', formatNumber(busySeconds, 3)],
  )
  let preparing = 0
  for (const [name, label] of Object.entries(TIMES)) {
    if (engineStats[name] === undefined) continue
    preparing += engineStats[name] / 1000
    rows.push([`  ${label}`, formatNumber(engineStats[name] / 1000, 3)])
  }
  rows.push(['  in guest code and devices', formatNumber(Math.max(0, busySeconds - preparing), 3)])
  const counters = Object.entries(engineStats).filter(([name]) => !(name in TIMES))
  const named = [...Object.keys(ENGINE_LABELS), ...counters.map(([name]) => name)]
  counters.sort(([a], [b]) => named.indexOf(a) - named.indexOf(b))
  for (const [name, value] of counters) rows.push([ENGINE_LABELS[name] ?? inWords(name), formatNumber(value)])
  rows.push(['exits to the machine', formatNumber(Object.values(exits).reduce((sum, count) => sum + count, 0))])
  for (const [kind, count] of Object.entries(exits)) rows.push([`  ${kind}`, formatNumber(count)])
  const width = Math.max(...rows.map(([label]) => label.length))
  const valueWidth = Math.max(...rows.map(([, value]) => value.length))
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${value.padStart(valueWidth)}\n`).join('')
}

/** `codeBytes` as `code bytes`. */
function inWords(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, (_, before, after) => `${before} ${after.toLowerCase()}`)
}

/** A number with a comma at each thousand; one that is not whole has at least one digit behind the point. */
function formatNumber(value: number, digits = Number.isInteger(value) ? 0 : 1): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** A profile as tables for people: where time went, by engine, by exit, by guest address. */
import type { Profile, Stats } from '../index.ts'
import type { SymbolTable } from './symbols.ts'

/** How many addresses are listed. */
const MOST_LINES = 25

const GROUPS = {
  translator: 'translated code',
  interpreter: 'interpreter',
  exits: 'exits from guest code',
  compiler: 'decoding, translating, compiling',
  machine: 'run loop, timers, event loop, start',
} as const

/** A row: what, and its columns. */
type Row = readonly [label: string, ...columns: string[]]

/**
 * Formats what a profiler saw.
 * @param activities names and counts of the machine's activities
 * @param symbols names of guest addresses, where there are some
 * @returns lines, each with its end
 */
export function formatProfile(
  profile: Profile,
  activities: Stats['activities'],
  symbols: SymbolTable | undefined,
): string {
  const total = profile.samples
  if (total === 0) return ''
  const seconds = (samples: number) => ((samples / total) * profile.milliseconds) / 1000
  const of = (group: string) => sum(activities.map((a, i) => (a.group === group ? profile.activities[i] : 0)))
  const asleep = of('asleep')
  const awake = Math.max(1, total - asleep)
  const percent = (samples: number) => `${((samples / awake) * 100).toFixed(1)} %`
  const lines = [
    `where time went: ${total.toLocaleString('en-US')} samples in ${(profile.milliseconds / 1000).toFixed(1)} s, ` +
      `${((asleep / total) * 100).toFixed(1)} % of them asleep; shares are of the others\n`,
  ]
  const engines = Object.entries(GROUPS)
    .map(([group, label]): [string, number] => [label, of(group)])
    .filter(([, samples]) => samples > 0)
    .map(([label, samples]): Row => [`  ${label}`, `${seconds(samples).toFixed(3)} s`, percent(samples)])
  lines.push(...table(engines))
  const kinds = activities
    .map(({ name, group, count }, i) => ({ name, group, count, samples: profile.activities[i] }))
    .filter(
      ({ group, count, samples }) => !(group in { translator: 0, interpreter: 0, asleep: 0 }) && count + samples > 0,
    )
    .sort((a, b) => b.samples - a.samples || b.count - a.count)
    .map(
      ({ name, count, samples }): Row => [
        `  ${name}`,
        count > 0 ? count.toLocaleString('en-US') : '',
        `${seconds(samples).toFixed(3)} s`,
        percent(samples),
      ],
    )
  lines.push('outside of guest code, by kind: how often, how long\n', ...table(kinds))
  symbols?.align(profile.systemCallEntries)
  const places = new Map<string, { samples: number; translated: number }>()
  for (const { address, user, samples, translated } of profile.addresses) {
    const found = user ? undefined : symbols?.find(address)
    const hex = address.toString(16).padStart(address > 0xffffffffn ? 16 : 8, '0')
    const name = found ? found.name : `${hex}${user ? ' (user)' : ''}`
    const place = places.get(name)
    if (place) {
      place.samples += samples
      place.translated += translated
    } else places.set(name, { samples, translated })
  }
  const top = [...places]
    .sort(([, a], [, b]) => b.samples - a.samples)
    .slice(0, MOST_LINES)
    .map(
      ([name, { samples, translated }]): Row => [
        `  ${name}`,
        percent(samples),
        `${((translated / samples) * 100).toFixed(0)} % translated`,
      ],
    )
  const others = profile.addresses.length + (profile.elsewhere > 0 ? 1 : 0)
  lines.push(
    `guest code, by ${symbols ? 'function' : 'address'} of the block or of the region's entry (${others.toLocaleString('en-US')} addresses)\n`,
    ...table(top),
  )
  return lines.join('')
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0)

/** Rows in columns: the first to the left, the others to the right. */
function table(rows: readonly Row[]): string[] {
  const widths: number[] = []
  for (const row of rows) for (const [i, text] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, text.length)
  return rows.map(
    row => `${row.map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]))).join('  ')}\n`,
  )
}

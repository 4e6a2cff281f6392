/** The counters of a machine as a table for people. */

/** Names of counters in words; a counter without one is shown under its own name in words. */
const LABELS: Record<string, string> = {
  instructions: 'guest instructions',
  mips: 'million instructions a second',
  busySeconds: 'seconds executing',
  guestSeconds: 'seconds of guest time',
}

/**
 * Formats the counters, a line for each and nested ones indented below their name. Where there are instructions and
 * seconds executing, the rate is added.
 */
export function formatStatistics(stats: object): string {
  const { instructions, busySeconds } = stats as { instructions?: unknown; busySeconds?: unknown }
  const rows: [string, string][] = []
  const add = (entries: object, indent: string) => {
    for (const [name, value] of Object.entries(entries)) {
      const label = indent + (LABELS[name] ?? inWords(name))
      if (typeof value === 'object' && value !== null) {
        if (Object.keys(value).length > 0) rows.push([label, ''])
        add(value, `${indent}  `)
      } else {
        rows.push([label, typeof value === 'number' ? formatNumber(value) : String(value)])
      }
      if (entries === stats && name === 'instructions' && Number(busySeconds) > 0)
        rows.push([LABELS.mips, formatNumber(Number(instructions) / Number(busySeconds) / 1e6)])
    }
  }
  add(stats, '')
  const width = Math.max(...rows.map(([label]) => label.length))
  const valueWidth = Math.max(...rows.map(([, value]) => value.length))
  return rows
    .map(([label, value]) => `${label.padEnd(width)}  ${value.padStart(valueWidth)}`.trimEnd())
    .map(line => `${line}\n`)
    .join('')
}

/** `codeBytes` as `code bytes`. */
function inWords(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, (_, before, after) => `${before} ${after.toLowerCase()}`)
}

/** Whole numbers with a comma at each thousand, others with three digits behind the point. */
function formatNumber(value: number): string {
  const digits = Number.isInteger(value) ? 0 : 3
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** What a run of vectors prints. */
import { hex } from './processor.ts'
import type { Failure, VectorRunner } from './runner.ts'

/** A failure in a line: file, index, name, bytes, and what differs. */
export function failureText({ file, test, differences }: Failure): string {
  const bytes = [...test.bytes].map(byte => hex(byte, 2)).join(' ')
  const exception = test.exception ? ` (raised exception ${test.exception.vector})` : ''
  const list = differences
    .slice(0, 8)
    .map(({ where, expected, found }) => `${where} ${hex(expected, 2)} is ${hex(found, 2)}`)
    .join(', ')
  const more = differences.length > 8 ? `, and ${differences.length - 8} more` : ''
  return `${file} #${test.index} ${test.name} [${bytes}]${exception}: ${list}${more}`
}

/** The tables of what was left out and why, and the result as the last line. */
export function summaryLines(runner: VectorRunner): string[] {
  const { passed, failed, excluded, byExclusion, byUndefinedFlags, returnAddresses } = runner.totals
  const lines: string[] = []
  const row = (count: number, text: string) => lines.push(`${String(count).padStart(8)}  ${text}`)
  if (byExclusion.size > 0) {
    lines.push('Excluded:')
    for (const [{ chip, title, reason }, { tests, wouldPass }] of byExclusion) {
      row(tests, `${chip}, ${title}: ${reason}${wouldPass ? ` (${wouldPass} would pass)` : ''}`)
    }
  }
  if (byUndefinedFlags.size > 0) {
    lines.push(
      'Compared but for undefined flags (SDM vol. 1, appendix A); bits 12–15, which depend on the chip, never count:',
    )
    for (const [rule, count] of byUndefinedFlags) row(count, rule)
  }
  if (returnAddresses > 0) {
    lines.push('Compared but for the return address (8086: divide errors return to the next instruction):')
    row(returnAddresses, 'divide errors')
  }
  const regions = (['8086', '80286'] as const)
    .map(chip => runner.processor(chip).translator?.statistics.regions ?? 0)
    .reduce((sum, count) => sum + count)
  if (regions > 0) lines.push(`${regions} tests' code was translated`)
  lines.push(`${passed} passed, ${failed} failed, ${excluded} excluded`)
  return lines
}

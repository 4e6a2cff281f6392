/** The instruction set as a table for people: what `typetwo isa` prints. */
import { textTable } from '../text-table.ts'
import type { Instruction } from './definition.ts'
import { classesOf, isCritical, type Sensitivity, type SensitivityClass, sensitivities } from './sensitivity.ts'

/** One definition in the listing. */
export interface ListingRow {
  /** The mnemonic, with the title where a mnemonic has several definitions. */
  readonly name: string
  readonly mnemonic: string
  readonly encodings: readonly string[]
  /** The CPUID feature, empty for what every processor has. */
  readonly feature: string
  /** Who may execute it: `user`, `cpl0`, `iopl` or `io`. */
  readonly privilege: string
  readonly classes: readonly SensitivityClass[]
  /** Sensitive, and never trapping in user mode by itself. */
  readonly critical: boolean
  readonly sensitivity: Sensitivity
}

/** The title if it has the mnemonic in it (`MOV to CR`, `CBW/CWDE/CDQE`), else the mnemonic and the title (`FLD m80`). */
function nameOf({ mnemonic, title }: Instruction): string {
  if (title === undefined) return mnemonic
  return title.includes(mnemonic) ? title : `${mnemonic} ${title}`
}

/** The rows of a set of instructions, by name. @throws Error as {@link sensitivities} */
export function listInstructions(instructions: readonly Instruction[]): ListingRow[] {
  const rows: ListingRow[] = []
  for (const [instruction, sensitivity] of sensitivities(instructions)) {
    rows.push({
      name: nameOf(instruction),
      mnemonic: instruction.mnemonic,
      encodings: instruction.encodings,
      feature: instruction.feature ?? '',
      privilege: instruction.privilege ?? 'user',
      classes: classesOf(sensitivity),
      critical: isCritical(sensitivity),
      sensitivity,
    })
  }
  return rows.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

/**
 * The listing: mnemonic, feature, privilege, class and encodings, a line for each definition. With `critical` only those
 * that are sensitive and do not trap in user mode, and in place of the encodings what they read and write.
 */
export function formatListing(rows: readonly ListingRow[], critical = false): string {
  if (!critical) {
    const cells = rows.map(row => [
      row.name,
      row.feature || '-',
      row.privilege,
      row.classes.join(', '),
      row.encodings.map(encoding => encoding.replace(/ {2,}/, ' ')).join('; '),
    ])
    return textTable([['MNEMONIC', 'FEATURE', 'PRIVILEGE', 'CLASS', 'ENCODINGS'], ...cells])
  }
  const cells = rows
    .filter(row => row.critical)
    .map(({ name, classes, sensitivity: { reads, writes, traps } }) => [
      name,
      classes.join(', '),
      [...reads].sort().join(', ') || '-',
      [...writes].sort().join(', ') || '-',
      traps === 'configured' ? 'if a bit of CR4 asks for it' : 'never',
    ])
  return textTable([['MNEMONIC', 'CLASS', 'READS', 'CHANGES', 'TRAPS IN USER MODE'], ...cells])
}

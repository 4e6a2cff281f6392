/** `--disk`, `--cdrom` and `--floppy`: a path, and after commas what is special about the drive. */

import { WRITE_ERRORS } from '../disk/patient.ts'
import type { CdromOptions, DiskOptions, FloppyOptions } from '../index.ts'
import { CACHE_MODES, DISK_BUSES } from '../machine/drives.ts'
import { alternatives, UsageError } from './command.ts'
import { commaWords, hint } from './words.ts'

/** What may follow the path: words with the values that there are, or any value, or none. */
type Properties = Record<string, readonly string[] | 'text' | 'flag'>

const DISK: Properties = {
  bus: DISK_BUSES,
  cache: CACHE_MODES,
  readonly: 'flag',
  format: 'text',
  serial: 'text',
  werror: WRITE_ERRORS,
}
const CDROM: Properties = { bus: ['ide', 'sata'] }
const FLOPPY: Properties = { readonly: 'flag' }

/**
 * Takes a drive's words apart. A comma that is part of the path is written twice.
 * @throws UsageError naming the word that is wrong
 */
function parse(option: string, text: string, properties: Properties): { path: string; given: Record<string, string> } {
  const refuse = (sentence: string) => new UsageError(`--${option} '${text}': ${sentence}`)
  const [path, ...words] = commaWords(text)
  if (path === '') throw refuse('the path of an image comes first')
  const given: Record<string, string> = {}
  for (const word of words) {
    const [name, value] = word.includes('=')
      ? [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]
      : [word]
    const kind = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (kind === undefined)
      throw refuse(
        `there is no '${name}'; ${hint(name, Object.keys(properties))} (a comma in the path is written twice)`,
      )
    if (kind === 'flag') {
      if (value !== undefined && value !== 'on' && value !== 'off') throw refuse(`${name} is on or off, not '${value}'`)
      given[name] = value ?? 'on'
      continue
    }
    if (value === undefined || value === '') throw refuse(`${name} needs a value`)
    if (kind !== 'text' && !kind.includes(value)) throw refuse(`${name} is ${alternatives(kind)}, not '${value}'`)
    given[name] = value
  }
  return { path, given }
}

/** A value of `--disk`. @throws UsageError */
export function parseDisk(text: string): DiskOptions {
  const { path, given } = parse('disk', text, DISK)
  return {
    image: path,
    ...(given.bus && { bus: given.bus as DiskOptions['bus'] }),
    ...(given.cache && { cache: given.cache as DiskOptions['cache'] }),
    ...(given.readonly === 'on' && { readOnly: true }),
    ...(given.format && { format: given.format }),
    ...(given.serial && { serial: given.serial }),
    ...(given.werror && { werror: given.werror as DiskOptions['werror'] }),
  }
}

/** A value of `--cdrom`; `none` is a drive without a medium. @throws UsageError */
export function parseCdrom(text: string): CdromOptions {
  const { path, given } = parse('cdrom', text, CDROM)
  return { ...(path !== 'none' && { image: path }), ...(given.bus && { bus: given.bus as CdromOptions['bus'] }) }
}

/** A value of `--floppy`; `none` is a drive without a medium. @throws UsageError */
export function parseFloppy(text: string): FloppyOptions {
  const { path, given } = parse('floppy', text, FLOPPY)
  return { ...(path !== 'none' && { image: path }), ...(given.readonly === 'on' && { readOnly: true }) }
}

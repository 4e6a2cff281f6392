/** Sizes of memory as people write them. */
import { UserError } from '../hosts/node/user-error.ts'

const KIB = 1024
const UNITS: Record<string, number> = { '': 1, k: KIB, m: KIB ** 2, g: KIB ** 3, t: KIB ** 4 }

/** The least memory that a machine is given: below this no kernel of today starts. */
export const LEAST_MEMORY = 16 * UNITS.m

/**
 * The number of bytes that `text` says: a number and K, M, G or T (powers of 1024; `MB` and `MiB` are M).
 * @param what what the size is of, for the message
 * @throws UserError when it says none.
 */
export function parseSize(text: string, what = '--memory'): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim()) ?? []
  if (digits === undefined)
    throw new UserError(`${what} '${text}' is not a size: write a number and a unit, as in 256M or 1G`)
  return Math.floor(Number(digits) * UNITS[unit.toLowerCase()])
}

/** A number of bytes as people write it, rounded down to three digits: `256M`, `1.5G`. */
export function formatSize(bytes: number): string {
  const unit = ['t', 'g', 'm', 'k'].find(unit => bytes >= UNITS[unit]) ?? ''
  if (unit === '') return `${bytes} bytes`
  const value = bytes / UNITS[unit]
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
  return `${Math.floor(value * 10 ** digits) / 10 ** digits}${unit.toUpperCase()}`
}

/**
 * The guest's memory in bytes, a multiple of 4 KiB.
 * @param text as given to `--memory`
 * @param available bytes that the host can still give
 * @throws UserError when it is no size, zero, less than {@link LEAST_MEMORY} or more than `available`.
 */
export function parseMemory(text: string, available: number): number {
  const bytes = parseSize(text)
  if (bytes === 0) throw new UserError(`--memory '${text}' leaves the guest without memory: give it some, as in 256M`)
  if (bytes < LEAST_MEMORY) {
    const bare = /^\d+$/.test(text.trim()) ? `; with a unit it would be ${text.trim()}M` : ''
    throw new UserError(`--memory '${text}' is too small: give the guest at least ${formatSize(LEAST_MEMORY)}${bare}`)
  }
  if (bytes > available) {
    throw new UserError(
      `--memory '${text}' is more than this host has free (${formatSize(available)}): give the guest less, as in 256M`,
    )
  }
  return bytes - (bytes % 4096)
}

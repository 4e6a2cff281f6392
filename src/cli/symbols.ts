/**
 * Names of a kernel's addresses: from a System.map, what /proc/kallsyms gives, or an ELF file with a symbol table (System V
 * ABI, "Symbol Table").
 */
import { UserError } from '../hosts/node/user-error.ts'
import type { Profile } from '../index.ts'

/** Addresses further from the last symbol than this have no name: bytes. */
const FARTHEST = 1n << 20n

const SHT_SYMTAB = 2
const STT_NOTYPE = 0
const STT_FUNC = 2

/** A symbol's name and how far from it an address is. */
export interface Found {
  name: string
  offset: bigint
}

/** Symbols in the order of their addresses. */
export class SymbolTable {
  private readonly addresses: BigUint64Array
  private readonly names: string[]
  private readonly byName: ReadonlyMap<string, bigint>
  /** What is added to the file's addresses: a kernel may have moved itself. */
  private slide = 0n

  constructor(symbols: readonly (readonly [address: bigint, name: string])[]) {
    const sorted = [...symbols].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    this.addresses = new BigUint64Array(sorted.map(([address]) => address))
    this.names = sorted.map(([, name]) => name)
    this.byName = new Map(sorted.map(([address, name]) => [name, address]))
  }

  /** How many symbols there are. */
  get size(): number {
    return this.names.length
  }

  /**
   * Finds out how far Linux moved itself (KASLR): it told the processor where its entry for system calls is. Without that the
   * addresses are taken as they are.
   */
  align({ lstar, sysenter }: Profile['systemCallEntries']): void {
    for (const [name, address] of [
      ['entry_SYSCALL_64', lstar],
      ['entry_SYSENTER_32', sysenter],
    ] as const) {
      const own = this.byName.get(name)
      if (own === undefined || address === 0n) continue
      this.slide = address - own
      return
    }
  }

  /** The symbol at or before an address. */
  find(address: bigint): Found | undefined {
    const wanted = address - this.slide
    let low = 0
    let high = this.names.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.addresses[middle] <= wanted) low = middle + 1
      else high = middle
    }
    if (low === 0) return undefined
    const offset = wanted - this.addresses[low - 1]
    return offset < FARTHEST ? { name: this.names[low - 1], offset } : undefined
  }
}

/**
 * Reads a file of symbols.
 * @param what the file, for sentences
 * @throws UserError when there are none in it
 */
export function parseSymbols(file: Uint8Array, what: string): SymbolTable {
  const isElf = file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46
  const table = new SymbolTable(isElf ? elfSymbols(file) : mapSymbols(Buffer.from(file).toString('latin1')))
  if (table.size === 0)
    throw new UserError(
      `${what} names no code: give a System.map, an ELF vmlinux with its symbol table, or what root reads from the guest's /proc/kallsyms`,
    )
  return table
}

/** The symbols of an ELF file; none where there is no table. */
export function elfSymbols(file: Uint8Array): [bigint, string][] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const wide = file[4] === 2
  if (file.length < 64) return []
  const word = (at: number) => (wide ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true))
  const symbols: [bigint, string][] = []
  try {
    const headers = word(wide ? 40 : 32)
    const size = view.getUint16(wide ? 58 : 46, true)
    const count = headers === 0 ? 0 : view.getUint16(wide ? 60 : 48, true)
    const section = (i: number) => {
      const at = headers + i * size
      const [offset, length, link] = wide ? [24, 32, 40] : [16, 20, 24]
      return {
        type: view.getUint32(at + 4, true),
        offset: word(at + offset),
        size: word(at + length),
        link: view.getUint32(at + link, true),
      }
    }
    for (let i = 0; i < count; i++) {
      const table = section(i)
      if (table.type !== SHT_SYMTAB) continue
      const strings = section(table.link)
      const entry = wide ? 24 : 16
      for (let at = table.offset; at + entry <= table.offset + table.size; at += entry) {
        const info = file[at + (wide ? 4 : 12)]
        const place = view.getUint16(at + (wide ? 6 : 14), true)
        const type = info & 15
        if (place === 0 || (type !== STT_NOTYPE && type !== STT_FUNC)) continue
        const start = strings.offset + view.getUint32(at, true)
        const end = file.indexOf(0, start)
        if (end <= start) continue
        const address = wide ? view.getBigUint64(at + 8, true) : BigInt(view.getUint32(at + 4, true))
        symbols.push([address, Buffer.from(file.subarray(start, end)).toString('latin1')])
      }
    }
  } catch (error) {
    // A table beyond the end of the file: what was read until then is what there is.
    if (!(error instanceof RangeError)) throw error
  }
  return symbols
}

/** Lines `address type name`, as nm writes them; symbols of data are left out, and those whose address is hidden as 0. */
function mapSymbols(text: string): [bigint, string][] {
  const symbols: [bigint, string][] = []
  for (const [, address, name] of text.matchAll(/^([0-9a-f]{8,16}) [tTwW] (\S+)/gm)) {
    const value = BigInt(`0x${address}`)
    if (value !== 0n) symbols.push([value, name])
  }
  return symbols
}

/** `--dump-code`: a folder of listings of translated code. */
import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolder } from '../hosts/node/files.ts'
import { reasonOf, UserError } from '../hosts/node/user-error.ts'
import type { Profile, TranslatedCode } from '../index.ts'
import type { SymbolTable } from './symbols.ts'

/** Most regions that are written: a guest that rewrites its code for ever must not fill the disk. */
const MOST_FILES = 100_000

const HEAD = 'file                         instructions  bytes  WebAssembly    share  entry, mode\n'

/** One line of the index. */
interface Entry {
  file: string
  code: Omit<TranslatedCode, 'listing' | 'text'>
}

/** Writes listings as they come, and at the end an index. */
export class CodeDump {
  private readonly folder: string
  private readonly entries: Entry[] = []
  private readonly most: number
  /** Everything that is to be written, one after another. */
  private work: Promise<void> = Promise.resolve()
  private failure: unknown

  private constructor(folder: string, most: number) {
    this.folder = folder
    this.most = most
  }

  private get index(): string {
    return join(this.folder, 'index.txt')
  }

  /**
   * Makes the folder, if it is missing, and an empty index in it.
   * @throws UserError when that cannot be done
   */
  static async create(folder: string, most = MOST_FILES): Promise<CodeDump> {
    const dump = new CodeDump(folder, most)
    try {
      await makeFolder(folder)
      await writeFile(dump.index, HEAD)
    } catch (error) {
      throw new UserError(`--dump-code ${folder}: no listings can be written there: ${reasonOf(error)}`)
    }
    return dump
  }

  /** Writes a region's file and its line of the index, some time. */
  add(code: TranslatedCode): void {
    if (this.entries.length >= this.most || this.failure) return
    const { listing, text, ...rest } = code
    const number = String(this.entries.length + 1).padStart(5, '0')
    const entry = { file: `${number}-${code.address.toString(16).padStart(8, '0')}.txt`, code: rest }
    this.entries.push(entry)
    this.work = this.work
      .then(async () => {
        await writeFile(join(this.folder, entry.file), regionFile(code))
        await appendFile(this.index, indexLine(entry, undefined, undefined))
      })
      .catch(error => {
        this.failure ??= error
      })
  }

  /**
   * Writes the index anew, where the most time was spent first.
   * @param profile what was seen of the time, if somebody looked
   * @throws UserError when something could not be written
   */
  async finish(profile: Profile | undefined, symbols: SymbolTable | undefined): Promise<void> {
    await this.work
    if (profile) symbols?.align(profile.systemCallEntries)
    const translated = new Map(profile?.addresses.map(seen => [seen.address, seen.translated]))
    const total = [...translated.values()].reduce((sum, samples) => sum + samples, 0)
    const share = ({ code }: Entry) => (translated.get(code.address) ?? 0) / Math.max(1, total)
    const sorted = [...this.entries].sort((a, b) => share(b) - share(a))
    const lines = sorted.map(entry => indexLine(entry, profile && share(entry), symbols))
    if (this.entries.length >= this.most) lines.push(`further regions are not written: these are ${this.most}\n`)
    try {
      if (this.failure) throw this.failure
      await writeFile(this.index, HEAD + lines.join(''))
    } catch (error) {
      throw new UserError(`--dump-code ${this.folder}: not all listings could be written: ${reasonOf(error)}`)
    }
  }
}

function indexLine({ file, code }: Entry, share: number | undefined, symbols: SymbolTable | undefined): string {
  const found = symbols?.find(code.address)
  const name = found ? ` ${found.name}+0x${found.offset.toString(16)}` : ''
  const columns = [
    file.padEnd(27),
    String(code.instructions).padStart(14),
    String(code.bytes).padStart(7),
    String(code.wasmBytes).padStart(13),
    (share === undefined ? '?' : `${(share * 100).toFixed(1)} %`).padStart(9),
    `  ${code.address.toString(16)}${name}, ${code.mode}`,
  ]
  return `${columns.join('')}\n`
}

/** The guest's code on the left, WebAssembly on the right. */
function regionFile({ address, mode, instructions, bytes, wasmBytes, listing, text }: TranslatedCode): string {
  const right = text.trimEnd().split('\n')
  const width = Math.max(...listing.map(line => line.length))
  const lines = Array.from({ length: Math.max(listing.length, right.length) }, (_, i) =>
    `${(listing[i] ?? '').padEnd(width)} | ${right[i] ?? ''}`.trimEnd(),
  )
  const head = `${address.toString(16)}: ${mode}; ${instructions} instructions in ${bytes} bytes; ${wasmBytes} bytes of WebAssembly`
  return `${head}\n\n${lines.join('\n')}\n`
}

/** Generated code in a folder beside Node's compile cache, for as long as the sources stay what they are. */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CodeStore } from '../../engines/code-store.ts'
import { type NativeCode, nativeCode } from './native-code.ts'

/** The folders whose files decide what code is generated. */
const SOURCES = ['cpu', 'engines', 'float', 'ir', 'isa', 'memory', 'wasm'] as const

/** So many bytes are kept of the same sources; when there are more, those go that were used longest ago. */
const MOST_BYTES = 256 << 20
/** Bytes of the digest in front of each file: V8 does not check the machine code that it is given. */
const DIGEST = 20
const digestOf = (bytes: Uint8Array): Buffer => createHash('sha1').update(bytes).digest()

/** A name for the sources as they are now: what paths, sizes and times of change are. @throws Error of the file system */
function sourcesName(root: URL): string {
  const hash = createHash('sha1')
  hash.update(`${process.version} ${process.arch}\n`)
  for (const room of SOURCES) {
    const folder = new URL(`${room}/`, root).pathname
    for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
      if (!file.endsWith('.ts') || file.endsWith('.test.ts')) continue
      const { size, mtimeMs } = statSync(join(folder, file))
      hash.update(`${room}/${file} ${size} ${mtimeMs}\n`)
    }
  }
  return hash.digest('hex').slice(0, 20)
}

/**
 * The store in a folder, which is made when something is written. What other sources left there is removed then, and what was used
 * longest ago where there would be more than so many bytes.
 * @param folder undefined: there is none
 * @param root the folder `src/`
 */
export function codeStore(
  folder: string | undefined,
  root = new URL('../../', import.meta.url),
  mostBytes = MOST_BYTES,
): Required<CodeStore> | undefined {
  if (!folder) return undefined
  let sources: string
  try {
    sources = sourcesName(root)
  } catch {
    return undefined
  }
  return new FolderStore(folder, sources, mostBytes, nativeCode())
}

/** Files in a folder. */
class FolderStore implements Required<CodeStore> {
  private readonly folder: string
  private readonly sources: string
  private readonly mostBytes: number
  private readonly native: NativeCode | undefined
  /** Bytes of machine code that were kept of a module, by its name. */
  private readonly kept = new Map<string, number>()

  constructor(folder: string, sources: string, mostBytes: number, native: NativeCode | undefined) {
    this.folder = folder
    this.sources = sources
    this.mostBytes = mostBytes
    this.native = native
  }

  private path(name: string): string {
    return join(this.folder, `${this.sources}-${name}`)
  }

  read(name: string): Uint8Array<ArrayBuffer> | undefined {
    try {
      const file = readFileSync(this.path(name))
      const bytes = new Uint8Array(file.buffer, file.byteOffset, file.length).slice(DIGEST)
      if (!digestOf(bytes).equals(file.subarray(0, DIGEST))) return undefined
      const now = new Date()
      utimesSync(this.path(name), now, now)
      return bytes
    } catch {
      return undefined
    }
  }

  write(name: string, bytes: Uint8Array): void {
    try {
      mkdirSync(this.folder, { recursive: true })
      this.makeRoom(bytes.length)
      // Others may read and write at the same time: they see all of it or nothing.
      const made = `${this.path(name)}.${process.pid}`
      writeFileSync(made, Buffer.concat([digestOf(bytes), bytes]))
      renameSync(made, this.path(name))
    } catch {
      // It will be made again.
    }
  }

  /** Removes what other sources left, and what was used longest ago of what these did. */
  private makeRoom(bytes: number): void {
    const own: { path: string; size: number; used: number }[] = []
    for (const file of readdirSync(this.folder)) {
      const path = join(this.folder, file)
      if (!file.startsWith(`${this.sources}-`)) {
        rmSync(path, { force: true })
        continue
      }
      const { size, mtimeMs } = statSync(path)
      own.push({ path, size, used: mtimeMs })
    }
    let room = this.mostBytes - bytes - own.reduce((sum, { size }) => sum + size, 0)
    for (const { path, size } of own.sort((a, b) => a.used - b.used)) {
      if (room >= 0) break
      rmSync(path, { force: true })
      room += size
    }
  }

  module(
    name: string,
    bytes: Uint8Array<ArrayBuffer>,
    compile = () => new WebAssembly.Module(bytes),
  ): WebAssembly.Module {
    // Machine code goes with the bytes that it was made of: a module of the same name may be another by now.
    const code = this.native && this.read(nativeName(name, bytes))
    const module = code && this.native?.read(code, bytes)
    if (module) this.kept.set(name, code.length)
    return module || compile()
  }

  keepModule(name: string, module: WebAssembly.Module, bytes: Uint8Array, small: CallableFunction): void {
    if (!this.native) return
    // V8 does not tell whether there is more by now; to see takes 0.3 ms for each MiB, and times to save are ever further apart.
    const code = this.native.write(module, small)
    const before = this.kept.get(name) ?? 0
    if (code.length < before * WORTH_MORE || code.length < WORTH_BYTES) return
    this.kept.set(name, code.length)
    this.write(nativeName(name, bytes), code)
  }
}

/** Machine code is written again when there is so much more of it. */
const WORTH_MORE = 1.05
/** Less is not worth a file. */
const WORTH_BYTES = 16384

const nativeName = (name: string, bytes: Uint8Array): string =>
  `${name}-${digestOf(bytes).toString('hex').slice(0, 12)}-code`

/** The store beside Node's compile cache, which bin/typetwo names; without that there is none. */
export function codeStoreOfProcess(environment: NodeJS.ProcessEnv = process.env): CodeStore | undefined {
  const cache = environment.NODE_COMPILE_CACHE
  return codeStore(cache ? join(cache, 'typetwo') : undefined)
}

/** Generated code in a folder beside Node's compile cache, for as long as the sources stay what they are. */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CodeStore } from '../../engines/code-store.ts'

/** The folders whose files decide what code is generated. */
const SOURCES = ['cpu', 'engines', 'float', 'ir', 'isa', 'memory', 'wasm'] as const

/** So many files are kept of the same sources. */
const MOST_FILES = 8

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
 * The store in a folder, which is made when something is written. What other sources left there is removed then.
 * @param folder undefined: there is none
 * @param root the folder `src/`
 */
export function codeStore(
  folder: string | undefined,
  root = new URL('../../', import.meta.url),
): CodeStore | undefined {
  if (!folder) return undefined
  let sources: string
  try {
    sources = sourcesName(root)
  } catch {
    return undefined
  }
  const path = (name: string) => join(folder, `${sources}-${name}`)
  return {
    read(name) {
      try {
        return new Uint8Array(readFileSync(path(name)))
      } catch {
        return undefined
      }
    },
    write(name, bytes) {
      try {
        mkdirSync(folder, { recursive: true })
        const files = readdirSync(folder)
        const own = files.filter(file => file.startsWith(`${sources}-`))
        // A machine with memory of another size has code of its own: they must not become many.
        const going = own.length < MOST_FILES ? files.filter(file => !own.includes(file)) : files
        for (const file of going) rmSync(join(folder, file), { force: true })
        // Others may read and write at the same time: they see all of it or nothing.
        const made = `${path(name)}.${process.pid}`
        writeFileSync(made, bytes)
        renameSync(made, path(name))
      } catch {
        // It will be made again.
      }
    },
  }
}

/** The store beside Node's compile cache, which bin/typetwo names; without that there is none. */
export function codeStoreOfProcess(environment: NodeJS.ProcessEnv = process.env): CodeStore | undefined {
  const cache = environment.NODE_COMPILE_CACHE
  return codeStore(cache ? join(cache, 'typetwo') : undefined)
}

/** `--initrd` for kernels that take modules. */
import { UsageError } from './command.ts'
import { commaWords } from './words.ts'

/** A module: the host's file, and what the kernel reads of it, its name first. */
export interface ModuleChoice {
  path: string
  text: string
}

/**
 * Takes modules apart that are separated by commas; one that is meant is written twice. The file's name ends at the first blank.
 * @throws UsageError where one has no name
 */
export function parseModules(text: string): ModuleChoice[] {
  return commaWords(text).map(part => {
    const words = part.trim()
    const path = words.split(' ', 1)[0]
    if (path === '')
      throw new UsageError(`--initrd '${text}': a module has no name: write FILE[ TEXT], separated by commas`)
    return { path, text: words }
  })
}

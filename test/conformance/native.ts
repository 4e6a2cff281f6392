/** This machine's own processor: compiles native.c and runs records with it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RECORD_SIZE } from './record.ts'

/** Runs records in place of themselves: they come back with the state after each. */
export type Native = (records: Uint8Array) => Uint8Array

/** Compiles the runner. @returns the runner, or a sentence that says why there is none. */
export function nativeProcessor(bits: 32 | 64): Native | string {
  if (process.arch !== 'x64' || process.platform !== 'linux') return 'this is no x86-64 Linux machine'
  const directory = mkdtempSync(join(tmpdir(), 'typetwo-conformance-'))
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  const program = join(directory, 'native')
  const source = join(import.meta.dirname, 'native.c')
  const built = spawnSync('gcc', [`-m${bits}`, '-O1', '-o', program, source], { encoding: 'utf8' })
  if (built.error) return 'there is no gcc'
  if (built.status !== 0) {
    if (bits === 32) return 'gcc cannot make 32-bit programs here (gcc-multilib)'
    throw new Error(`native.c does not compile: ${built.stderr}`)
  }
  return records => {
    const run = spawnSync(program, { input: records, maxBuffer: records.length + 4096 })
    if (run.status !== 0 || run.stdout.length !== records.length) {
      const done = Math.floor(run.stdout.length / RECORD_SIZE)
      throw new Error(`the native runner ended with ${run.status ?? run.signal} after about ${done} records`)
    }
    return new Uint8Array(run.stdout)
  }
}

/** What the processor has, as /proc/cpuinfo spells it, and whether undefined results may be compared with it. */
export function nativeFeatures(): { flags: ReadonlySet<string>; amdZen: boolean } {
  const text = readFileSync('/proc/cpuinfo', 'utf8')
  const field = (name: string): string => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1] ?? ''
  return {
    flags: new Set(field('flags').split(' ')),
    amdZen: field('vendor_id') === 'AuthenticAMD' && Number(field('cpu family')) >= 0x17,
  }
}

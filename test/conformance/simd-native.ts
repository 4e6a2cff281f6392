/** Single MMX, SSE and AVX instructions on this machine's own processor. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Bytes of a record of simd-native.c, and where its parts lie. */
export const RECORD = 256
export const LENGTH = 15
export const XMM = 16
export const MM = 64
export const RAX = 88
export const RCX = 96
export const RDX = 104
export const RFLAGS = 112
export const MXCSR = 120
export const TRAPPED = 124
export const MEMORY = 128
export const MEMORY_BYTES = 64
export const HIGH = 192

/** Compiles the runner: records in, records out. @returns undefined where there is no gcc or no x86-64 processor. */
export function simdRunner(): ((records: Uint8Array) => Uint8Array) | undefined {
  if (process.arch !== 'x64' || process.platform !== 'linux') return undefined
  const directory = mkdtempSync(join(tmpdir(), 'typetwo-simd-'))
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  const program = join(directory, 'native')
  const source = join(import.meta.dirname, 'simd-native.c')
  const options = ['-O1', '-fno-stack-protector', '-fcf-protection=none', '-fomit-frame-pointer']
  const built = spawnSync('gcc', [...options, '-o', program, source])
  if (built.error) return undefined
  if (built.status !== 0) throw new Error(`simd-native.c does not compile: ${built.stderr}`)
  return records => {
    const run = spawnSync(program, { input: records, maxBuffer: records.length + 4096 })
    if (run.status !== 0) throw new Error(`native runner ended with ${run.status ?? run.signal}: ${run.stderr}`)
    return new Uint8Array(run.stdout)
  }
}

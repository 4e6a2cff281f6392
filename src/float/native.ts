/** Test support: instructions on this machine's own processor, and routines linked into a module of their own. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { STATE_SIZE, StateView } from '../cpu/state.ts'
import { typeOf } from '../ir/values.ts'
import { buildRoutine, type Routine } from '../isa/semantics.ts'
import { ModuleBuilder } from '../wasm/module.ts'
import { I32 } from '../wasm/types.ts'

/** Bytes of a record of native.c. */
const RECORD = 1280

/** What goes into one instruction, and what comes out. */
export interface NativeState {
  /** Machine code; a memory operand is at [rdi]. */
  code: readonly number[]
  /** FSAVE image in the 32-bit protected-mode format. */
  fsave?: Uint8Array
  mxcsr?: number
  xmm?: readonly [bigint, bigint]
  rax?: bigint
  rflags?: bigint
  /** Up to 1024 bytes, at a multiple of 64. */
  memory?: Uint8Array
}

/** The state after an instruction. */
export interface NativeResult {
  fsave: Uint8Array
  mxcsr: number
  /** Low halves of XMM0 and XMM1. */
  xmm: [bigint, bigint]
  rax: bigint
  rflags: bigint
  /** Nonzero if the instruction raised SIGFPE or SIGILL. */
  trapped: number
  memory: Uint8Array
}

/** The FSAVE image after FNINIT, all registers empty. */
export function emptyFsave(): Uint8Array {
  const image = new Uint8Array(108)
  const view = new DataView(image.buffer)
  view.setUint32(0, 0xffff037f, true)
  view.setUint32(4, 0xffff0000, true)
  view.setUint32(8, 0xffffffff, true)
  return image
}

/** Compiles the runner. @returns undefined where there is no gcc or no x86-64 processor. */
export function nativeRunner(): ((states: readonly NativeState[]) => NativeResult[]) | undefined {
  if (process.arch !== 'x64' || process.platform !== 'linux') return undefined
  const directory = mkdtempSync(join(tmpdir(), 'typetwo-native-'))
  const program = join(directory, 'native')
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  const source = join(import.meta.dirname, 'native.c')
  const built = spawnSync('gcc', ['-O1', '-fno-stack-protector', '-fcf-protection=none', '-o', program, source])
  if (built.error) return undefined
  if (built.status !== 0) throw new Error(`native.c does not compile: ${built.stderr}`)
  return states => {
    const input = new Uint8Array(states.length * RECORD)
    const view = new DataView(input.buffer)
    states.forEach((state, i) => {
      const at = i * RECORD
      input.set(state.code.slice(0, 15), at)
      input.set(state.code.slice(15), at + 180)
      input[at + 15] = state.code.length
      input.set(state.fsave ?? emptyFsave(), at + 16)
      view.setUint32(at + 124, state.mxcsr ?? 0x1f80, true)
      view.setBigUint64(at + 128, state.xmm?.[0] ?? 0n, true)
      view.setBigUint64(at + 144, state.xmm?.[1] ?? 0n, true)
      view.setBigUint64(at + 160, state.rax ?? 0n, true)
      view.setBigUint64(at + 168, state.rflags ?? 0x202n, true)
      if (state.memory) input.set(state.memory, at + 256)
    })
    const run = spawnSync(program, { input, maxBuffer: input.length + 4096 })
    if (run.status !== 0) throw new Error(`native runner ended with ${run.status ?? run.signal}`)
    const output = new Uint8Array(run.stdout)
    const out = new DataView(output.buffer)
    return states.map((_, i) => {
      const at = i * RECORD
      return {
        fsave: output.slice(at + 16, at + 124),
        mxcsr: out.getUint32(at + 124, true),
        xmm: [out.getBigUint64(at + 128, true), out.getBigUint64(at + 144, true)],
        rax: out.getBigUint64(at + 160, true),
        rflags: out.getBigUint64(at + 168, true),
        trapped: out.getUint32(at + 176, true),
        memory: output.slice(at + 256, at + RECORD),
      }
    })
  }
}

/** Routines linked into a module with memory of their own: a function for each by its name, and the state they work on. */
export interface Linked {
  readonly state: StateView
  /** Calls a routine; 64-bit values are bigints (results signed, as WebAssembly gives them). */
  call(routine: Routine, ...args: (number | bigint)[]): number | bigint
}

/** Links routines, with all that they call. */
export function link(routines: readonly Routine[]): Linked {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'typetwo', name: 'state', minimum: 1, maximum: 1 })
  const indices = new Map<string, number>()
  const queue: Routine[] = []
  const typeFor = (r: Routine) => ({
    params: [I32, ...r.parameters.map(typeOf)] as const,
    results: r.result ? [typeOf(r.result)] : [],
  })
  const add = (r: Routine) => {
    if (indices.has(r.name)) return
    const index = module.declare(typeFor(r), r.name)
    indices.set(r.name, index)
    module.export(r.name, index)
    queue.push(r)
  }
  routines.forEach(add)
  // A routine's callees are known after it was built; a first pass with a linker of zeros finds them.
  for (let i = 0; i < queue.length; i++)
    for (const used of buildRoutine(queue[i], { functionIndex: () => 0, typeIndex: t => module.type(t) }).uses)
      add(used)
  const linker = {
    functionIndex: (name: string) => indices.get(name) as number,
    typeIndex: module.type.bind(module),
  }
  for (const r of queue) module.define(indices.get(r.name) as number, buildRoutine(r, linker).body)
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { typetwo: { state: memory } })
  if (STATE_SIZE > 65536) throw new Error('the state needs more than one page')
  const exports = instance.exports as Record<string, (...args: (number | bigint)[]) => number | bigint>
  return { state: new StateView(memory.buffer, 0), call: (r, ...args) => exports[r.name](0, ...args) }
}

/** Random numbers from a seed (xorshift): the same ones in every run. */
export function generator(seed: number): { bits(count: number): bigint; below(n: number): number } {
  let state = BigInt(seed) | 1n
  const next = () => {
    state ^= BigInt.asUintN(64, state << 13n)
    state ^= state >> 7n
    state ^= BigInt.asUintN(64, state << 17n)
    return state
  }
  for (let i = 0; i < 8; i++) next()
  return { bits: count => next() >> BigInt(64 - count), below: n => Number((next() >> 11n) % BigInt(n)) }
}

/** MMX, SSE and AVX definitions as functions of one module, on the little machine of simd-semantics.ts. */
import assert from 'node:assert/strict'
import { STATE_SIZE } from '../../src/cpu/state.ts'
import { PieceFlags, StatePieces } from '../../src/engines/flags.ts'
import { FunctionBuilder, type Linker } from '../../src/ir/function.ts'
import { Int, typeOf } from '../../src/ir/values.ts'
import type { OperandSpec } from '../../src/isa/encoding.ts'
import { buildRoutine, Code, type Routine } from '../../src/isa/semantics.ts'
import { ModuleBuilder } from '../../src/wasm/module.ts'
import { type FunctionType, I32 } from '../../src/wasm/types.ts'
import { IS4, REG, RM, type Shape, VVVV } from './simd-cases.ts'
import { IMMEDIATE, SimdSemantics } from './simd-semantics.ts'

function operandOf(m: SimdSemantics, spec: OperandSpec, shape: Shape): unknown {
  const width =
    spec.size === 'y'
      ? shape.wide
        ? 64
        : 32
      : ({ b: 8, w: 16, d: 32, q: 64, dq: 128, qq: 256 }[spec.size as 'b'] ?? 0)
  const register = (number: number) => {
    if (/^(xmm|xmmRm|xmmRegister|xmm0)$/.test(spec.kind)) return m.xmm(number)
    if (/^mmx/.test(spec.kind)) return m.mmx(number)
    return m.general(number, width as 32)
  }
  switch (spec.kind) {
    case 'immediate':
      return m.immediate(shape.immediate)
    case 'xmm0':
      return m.xmm(0)
    case 'vexXmm':
      return m.xmm(VVVV)
    case 'immediateXmm':
      return m.xmm(IS4)
    case 'vectorMemory':
      return { memory: m.data(width / 8), indices: m.xmm(RM), scale: m.const(0, 32) }
    case 'reg':
    case 'xmm':
    case 'mmx':
      return register(REG)
    default:
      return shape.memory ? m.data(width / 8) : register(RM)
  }
}

/** All shapes as functions `(base)` of one module, with the routines that they call. */
export function link(shapes: readonly Shape[]) {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'typetwo', name: 'state', minimum: 1, maximum: 1 })
  const indices = new Map<string, number>()
  const queue: Routine[] = []
  const linker: Linker = {
    functionIndex: name => indices.get(name) ?? 0,
    typeIndex: type => module.type(type),
  }
  const add = (routine: Routine) => {
    if (indices.has(routine.name)) return
    const type: FunctionType = {
      params: [I32, ...routine.parameters.map(typeOf)],
      results: routine.result ? [typeOf(routine.result)] : [],
    }
    indices.set(routine.name, module.declare(type, routine.name))
    queue.push(routine)
  }
  const plain: FunctionType = { params: [I32], results: [] }
  const builders: { index: number; build: () => { body: Uint8Array; used: Iterable<Routine> } }[] = []
  const declare = (
    name: string,
    build: () => { body: Uint8Array; used: Iterable<Routine> },
    type: FunctionType = plain,
  ) => {
    const index = module.declare(type, name)
    module.export(name, index)
    builders.push({ index, build })
  }
  for (const [i, shape] of shapes.entries()) {
    declare(`shape${i}`, () => {
      const f = new FunctionBuilder(plain)
      const m = new SimdSemantics(f, shape.wide ? 64 : 32)
      const operands = shape.form.operands.map(spec => operandOf(m, spec, shape))
      shape.form.instruction.execute(m, ...(operands as never[]))
      return { body: f.emit(linker).body, used: m.used }
    })
  }
  const withFlags = (type: FunctionType, use: (code: Code, flags: PieceFlags) => void) => () => {
    const f = new FunctionBuilder(type)
    const code = new Code(f)
    use(code, new PieceFlags(code, new StatePieces(code)))
    return { body: f.emit(linker).body, used: [] }
  }
  const setType: FunctionType = { params: [I32, I32], results: [] }
  declare(
    'setFlags',
    withFlags(setType, (code, flags) => flags.writeImage(new Int(code.f, code.f.getLocal(1, I32), 32), 0x8d5)),
    setType,
  )
  const getType: FunctionType = { params: [I32], results: [I32] }
  declare(
    'getFlags',
    withFlags(getType, (code, flags) => code.f.return(flags.readImage().node)),
    getType,
  )
  for (const { build } of builders) for (const routine of build().used) add(routine)
  for (let i = 0; i < queue.length; i++) for (const used of buildRoutine(queue[i], linker).uses) add(used)
  for (const { index, build } of builders) module.define(index, build().body)
  for (const routine of queue) module.define(indices.get(routine.name) as number, buildRoutine(routine, linker).body)
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { typetwo: { state: memory } })
  assert.ok(STATE_SIZE < IMMEDIATE)
  return { memory, exports: instance.exports as Record<string, (...args: number[]) => number> }
}

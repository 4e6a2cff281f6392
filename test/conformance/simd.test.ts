/** Every MMX and SSE form against this machine's processor: random and boundary operands, MXCSR settings, memory operands. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { F, STATE_SIZE, StateView } from '../../src/cpu/state.ts'
import { PieceFlags, StatePieces } from '../../src/engines/flags.ts'
import { generator } from '../../src/float/native.ts'
import { FunctionBuilder, type Linker } from '../../src/ir/function.ts'
import { Int, typeOf } from '../../src/ir/values.ts'
import { type Form, type OperandSpec, parseForms } from '../../src/isa/encoding.ts'
import { buildRoutine, Code, type Routine } from '../../src/isa/semantics.ts'
import { instructions } from '../../src/isa/simd-set.ts'
import { ModuleBuilder } from '../../src/wasm/module.ts'
import { type FunctionType, I32 } from '../../src/wasm/types.ts'
import * as N from './simd-native.ts'
import { DATA, IMMEDIATE, SimdSemantics } from './simd-semantics.ts'

/** A form with everything decided that an encoding leaves open. */
interface Shape {
  name: string
  form: Form
  memory: boolean
  wide: boolean
  immediate: number | undefined
  build: (m: SimdSemantics) => void
}

const REG = 2
const RM = 1

function operandOf(m: SimdSemantics, spec: OperandSpec, shape: Omit<Shape, 'build' | 'name'>): unknown {
  const width =
    spec.size === 'y' ? (shape.wide ? 64 : 32) : ({ b: 8, w: 16, d: 32, q: 64, dq: 128 }[spec.size as 'b'] ?? 0)
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
    case 'reg':
    case 'xmm':
    case 'mmx':
      return register(REG)
    default:
      return shape.memory ? m.data(width / 8) : register(RM)
  }
}

/** Immediates worth a build of their own: few for most, all predicates for comparisons. */
function immediatesOf(form: Form): (number | undefined)[] {
  if (!form.immediates.length) return [undefined]
  const name = form.instruction.mnemonic
  if (name.startsWith('CMP')) return [undefined, 0, 1, 2, 3, 4, 5, 6, 7]
  if (name.startsWith('ROUND')) return [undefined, 0, 1, 2, 3, 4, 8, 9, 10, 11, 12]
  return [undefined, 0x1b, 3, 0xe4, 17]
}

function shapesOf(form: Form): Shape[] {
  const shapes: Shape[] = []
  const usesRm = form.modrm !== undefined
  const eitherWidth = form.operands.some(o => o.size === 'y') || /^PCMPESTR/.test(form.instruction.mnemonic)
  const wides = form.rexW === 1 ? [true] : eitherWidth ? [false, true] : [false]
  for (const memory of [false, true]) {
    if (memory ? form.modKind === 'reg' || !usesRm : form.modKind === 'mem') continue
    for (const wide of wides) {
      for (const immediate of immediatesOf(form)) {
        const shape = { form, memory, wide, immediate }
        const name = `${form.instruction.mnemonic} (${form.encoding}${memory ? ', memory' : ''}${wide ? ', REX.W' : ''}${form.immediates.length ? `, imm ${immediate ?? 'at run time'}` : ''})`
        shapes.push({
          ...shape,
          name,
          build: m => {
            const operands = form.operands.map(spec => operandOf(m, spec, shape))
            form.instruction.execute(m, ...(operands as never[]))
          },
        })
      }
    }
  }
  return shapes
}

/** The instruction's bytes; memory is [rdi]. */
function encode(shape: Shape, immediate: number): number[] {
  const { form } = shape
  const prefix = { NP: [], NFx: [], 66: [0x66], F3: [0xf3], F2: [0xf2] }[form.mandatoryPrefix ?? 'NP']
  const bytes = [...prefix, ...(shape.wide ? [0x48] : []), ...[[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][form.map]]
  bytes.push(form.opcode)
  if (form.modrm !== undefined) {
    const reg = form.modrm === 'r' ? REG : form.modrm
    bytes.push(shape.memory ? (reg << 3) | 7 : 0xc0 | (reg << 3) | RM)
  }
  if (form.immediates.length) bytes.push(immediate)
  return bytes
}

/** All shapes as functions `(base)` of one module, with the routines that they call. */
function link(shapes: readonly Shape[]) {
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
      shape.build(m)
      return { body: f.emit(linker), used: m.used }
    })
  }
  const withFlags = (type: FunctionType, use: (code: Code, flags: PieceFlags) => void) => () => {
    const f = new FunctionBuilder(type)
    const code = new Code(f)
    use(code, new PieceFlags(code, new StatePieces(code)))
    return { body: f.emit(linker), used: [] }
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

const random = generator(Number(process.env.SEED ?? 7))

const SINGLES = [
  0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7fa00001, 0xffc12345, 1, 0x807fffff,
  0x00800000, 0x7f7fffff, 0x4f000000, 0xcf000000, 0x3f000000, 0x40200000, 0x3effffff, 0x4effffff,
]
const DOUBLES = [
  0n,
  1n << 63n,
  0x3ff0000000000000n,
  0xbff8000000000000n,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000000n,
  0x7ff4000000000001n,
  0xfff8000000000123n,
  1n,
  0x800fffffffffffffn,
  0x0010000000000000n,
  0x7fefffffffffffffn,
  0x41e0000000000000n,
  0xc1e0000000000000n,
  0x43e0000000000000n,
  0x3fe0000000000000n,
  0x41dfffffffe00000n,
  0x47f0000000000000n,
  0x380fffffe0000000n,
]

function single(): number {
  const kind = random.below(4)
  if (kind === 0) return SINGLES[random.below(SINGLES.length)]
  if (kind === 1) return Number(random.bits(32))
  return (
    (Number(random.bits(1)) << 31) |
    ((120 + random.below(16)) << 23) |
    (Number(random.bits(random.below(2) ? 23 : 4) << 19n) & 0x7fffff)
  )
}
function double(): bigint {
  const kind = random.below(4)
  if (kind === 0) return DOUBLES[random.below(DOUBLES.length)]
  if (kind === 1) return random.bits(64)
  const fraction = random.below(2) ? random.bits(52) : random.bits(4) << 48n
  return (random.bits(1) << 63n) | (BigInt(1015 + random.below(24)) << 52n) | fraction
}

/** Bytes that find mistakes: of each kind of lane. */
function fill(view: DataView, at: number, bytes: number, kind = random.below(6)): void {
  for (let i = 0; i < bytes; i += 8) {
    if (kind === 0) view.setBigUint64(at + i, random.bits(64), true)
    else if (kind === 1) {
      view.setUint32(at + i, single(), true)
      view.setUint32(at + i + 4, single(), true)
    } else if (kind === 2) view.setBigUint64(at + i, double(), true)
    else if (kind === 3)
      for (let k = 0; k < 8; k++) view.setUint8(at + i + k, [0, 1, 0x7f, 0x80, 0xff][random.below(5)])
    else if (kind === 4)
      for (let k = 0; k < 8; k += 2) view.setUint16(at + i + k, [0, 1, 0x7fff, 0x8000, 0xffff][random.below(5)], true)
    else for (let k = 0; k < 8; k++) view.setUint8(at + i + k, random.below(4))
  }
}

function control(): number {
  const kind = random.below(4)
  if (kind < 2) return 0x1f80 | (kind ? 0x20 : 0)
  let mxcsr = 0x1f80 | (random.below(4) << 13)
  if (random.below(3) === 0) mxcsr |= 0x8000
  if (random.below(3) === 0) mxcsr |= 0x40
  if (random.below(3) === 0) mxcsr &= ~(Number(random.bits(6)) << 7)
  if (random.below(3) === 0) mxcsr |= Number(random.bits(6)) & (mxcsr >> 7)
  return mxcsr
}

/** A record with an instruction and a random state before it. */
function record(shape: Shape): Uint8Array {
  const bytes = new Uint8Array(N.RECORD)
  const view = new DataView(bytes.buffer)
  const code = encode(shape, shape.immediate ?? Number(random.bits(8)))
  bytes.set(code)
  bytes[N.LENGTH] = code.length
  const kind = random.below(8)
  const lanes = () => (kind < 6 ? kind : random.below(6))
  fill(view, N.XMM, 16, lanes())
  fill(view, N.XMM + 16, 16, lanes())
  fill(view, N.XMM + 32, 16, lanes())
  fill(view, N.MM, 24, lanes())
  fill(view, N.MEMORY, 32, lanes())
  // Equal operands now and then.
  if (random.below(8) === 0) bytes.copyWithin(N.MEMORY, N.XMM + 32, N.XMM + 48)
  if (random.below(8) === 0) bytes.copyWithin(N.XMM + 16, N.XMM + 32, N.XMM + 48)
  for (const at of [N.RAX, N.RCX, N.RDX]) {
    const small = random.below(2) === 0
    view.setBigInt64(at, small ? BigInt(random.below(40) - 20) : BigInt.asIntN(64, random.bits(64)), true)
  }
  view.setBigUint64(N.RFLAGS, (random.bits(12) & 0x8d5n) | 0x202n, true)
  view.setUint32(N.MXCSR, control(), true)
  return bytes
}

const APPROXIMATE = /^(RCP|RSQRT)/

function nearlyEqual(a: DataView, b: DataView): boolean {
  for (let i = 0; i < 48; i += 4) {
    const [x, y] = [a.getFloat32(N.XMM + i, true), b.getFloat32(N.XMM + i, true)]
    if (a.getUint32(N.XMM + i, true) === b.getUint32(N.XMM + i, true)) continue
    if (!(Math.abs(x - y) <= Math.abs(y) * 1.5 * 2 ** -11) || Number.isNaN(x)) return false
  }
  return true
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

const runner = N.simdRunner()

test('every MMX and SSE form gives what the processor gives', {
  skip: !runner && 'no gcc or no x86-64 processor',
}, () => {
  const forms = parseForms(instructions)
  const only = process.env.ONLY ? new RegExp(process.env.ONLY) : undefined
  const shapes = forms.flatMap(shapesOf).filter(shape => !only || only.test(shape.name))
  const { memory, exports } = link(shapes)
  const state = new StateView(memory.buffer, 0)
  const data = new Uint8Array(memory.buffer)
  const each = Number(process.env.CASES ?? 24)
  const before: { shape: Shape; index: number; record: Uint8Array }[] = []
  shapes.forEach((shape, index) => {
    for (let i = 0; i < each; i++) before.push({ shape, index, record: record(shape) })
  })
  const input = new Uint8Array(before.length * N.RECORD)
  for (const [i, b] of before.entries()) input.set(b.record, i * N.RECORD)
  const output = runner!(input)
  const failures = new Map<string, string>()
  let failed = 0
  before.forEach(({ shape, index, record }, i) => {
    const view = new DataView(record.buffer)
    const expected = output.slice(i * N.RECORD, (i + 1) * N.RECORD)
    const want = new DataView(expected.buffer)
    state.bytes.fill(0)
    for (let n = 0; n < 3; n++) {
      state.bytes.set(record.subarray(N.XMM + n * 16, N.XMM + n * 16 + 16), F.xmm.offset + n * 16)
      state.set64(F.fpr, view.getBigUint64(N.MM + n * 8, true), n)
      state.set64(F.gpr, view.getBigUint64([N.RAX, N.RCX, N.RDX][n], true), n)
    }
    state.set64(F.gpr, BigInt(DATA), 7)
    state.set32(F.mxcsr, view.getUint32(N.MXCSR, true))
    state.set32(F.cr4, 1 << 10)
    data.set(record.subarray(N.MEMORY), DATA)
    data[IMMEDIATE] = record[record[N.LENGTH] - 1]
    exports.setFlags(0, view.getUint32(N.RFLAGS, true))
    exports[`shape${index}`](0)
    const after = record.slice()
    const got = new DataView(after.buffer)
    for (let n = 0; n < 3; n++) {
      after.set(state.bytes.subarray(F.xmm.offset + n * 16, F.xmm.offset + n * 16 + 16), N.XMM + n * 16)
      got.setBigUint64(N.MM + n * 8, state.get64(F.fpr, n), true)
      got.setBigUint64([N.RAX, N.RCX, N.RDX][n], state.get64(F.gpr, n), true)
    }
    got.setUint32(N.MXCSR, state.get32(F.mxcsr), true)
    got.setUint32(N.TRAPPED, state.get32(F.fault) ? 8 : 0, true)
    got.setUint32(N.RFLAGS, (exports.getFlags(0) & 0x8d5) | 0x202, true)
    want.setUint32(N.RFLAGS, (want.getUint32(N.RFLAGS, true) & 0x8d5) | 0x202, true)
    after.set(data.subarray(DATA, DATA + 32), N.MEMORY)
    if (APPROXIMATE.test(shape.name) && nearlyEqual(got, want)) return
    if (hex(after) === hex(expected)) return
    failed++
    if (failures.has(shape.name)) return
    const parts: [string, number, number][] = [
      ['xmm0', N.XMM, 16],
      ['xmm1', N.XMM + 16, 16],
      ['xmm2', N.XMM + 32, 16],
      ['mm', N.MM, 24],
      ['rax', N.RAX, 8],
      ['rcx', N.RCX, 8],
      ['rdx', N.RDX, 8],
      ['flags', N.RFLAGS, 4],
      ['mxcsr', N.MXCSR, 4],
      ['trapped', N.TRAPPED, 4],
      ['memory', N.MEMORY, 32],
    ]
    const lines = [`${shape.name} ${hex(record.subarray(0, record[N.LENGTH]))}`]
    for (const [name, at, length] of parts) {
      const [b, g, w] = [record, after, expected].map(bytes => hex(bytes.subarray(at, at + length)))
      lines.push(g === w ? `  ${name}: ${b}` : `  ${name}: ${b}\n    got  ${g}\n    want ${w}`)
    }
    failures.set(shape.name, lines.join('\n'))
  })
  const report = [...failures.values()].slice(0, Number(process.env.SHOW ?? 5)).join('\n')
  assert.equal(
    failed,
    0,
    `${failed} of ${before.length} cases, ${failures.size} shapes:\n${[...failures.keys()].slice(0, 150).join('\n')}\n${report}`,
  )
})

/** What MMX, SSE and AVX forms are tried with: shapes of encodings, random and boundary states, and how results are compared. */
import { F, type StateView } from '../../src/cpu/state.ts'
import { setMxcsr } from '../../src/float/mxcsr.ts'
import { generator } from '../../src/float/native.ts'
import { encode as encodeParts } from '../../src/isa/assembler.ts'
import { type Form, parseForms } from '../../src/isa/encoding.ts'
import { instructions } from '../../src/isa/simd-set.ts'
import * as N from './simd-native.ts'

/** A form with everything decided that an encoding leaves open. */
export interface Shape {
  readonly name: string
  readonly form: Form
  readonly memory: boolean
  /** With REX.W. */
  readonly wide: boolean
  /** Known while building; undefined: known at run time (or there is none). */
  readonly immediate: number | undefined
}

/** Registers by ModRM.reg and ModRM.rm; [rdi] is the memory operand. */
export const REG = 2
export const RM = 1
/** By VEX.vvvv and by /is4. */
export const VVVV = 0
export const IS4 = 2

const MODE = { mode: 'long', codeSize: 64, stackSize: 64 } as const

/** Immediates worth a build of their own: few for most, all predicates for comparisons. */
function immediatesOf(form: Form): (number | undefined)[] {
  if (!form.immediates.length) return [undefined]
  const name = form.instruction.mnemonic
  if (/^VCMP/.test(name)) return [undefined, ...Array.from({ length: 32 }, (_, i) => i)]
  if (/is4/.test(form.encoding)) return [undefined]
  if (name.startsWith('CMP')) return [undefined, 0, 1, 2, 3, 4, 5, 6, 7]
  if (/^V?ROUND/.test(name)) return [undefined, 0, 1, 2, 3, 4, 8, 9, 10, 11, 12]
  return [undefined, 0x1b, 3, 0xe4, 17]
}

function shapesOf(form: Form): Shape[] {
  const shapes: Shape[] = []
  const usesRm = form.modrm !== undefined
  const eitherWidth = form.operands.some(o => o.size === 'y') || /^V?PCMPESTR/.test(form.instruction.mnemonic)
  const wides = form.rexW === 1 ? [true] : eitherWidth ? [false, true] : [false]
  for (const memory of [false, true]) {
    if (memory ? form.modKind === 'reg' || !usesRm : form.modKind === 'mem') continue
    for (const wide of wides) {
      for (const immediate of immediatesOf(form)) {
        const shape = { form, memory, wide, immediate }
        const name = `${form.instruction.mnemonic} (${form.encoding}${memory ? ', memory' : ''}${wide ? ', REX.W' : ''}${form.immediates.length ? `, imm ${immediate ?? 'at run time'}` : ''})`
        shapes.push({ ...shape, name })
      }
    }
  }
  return shapes
}

/** All shapes; those whose name has the expression in the environment's ONLY. */
export function allShapes(): Shape[] {
  const only = process.env.ONLY ? new RegExp(process.env.ONLY) : undefined
  return parseForms(instructions)
    .filter(form => !form.not64)
    .flatMap(shapesOf)
    .filter(shape => !only || only.test(shape.name))
}

/** The instruction's bytes; memory is [rdi], or [rdi + 1]. */
function encode(shape: Shape, immediate: number, misaligned: boolean): number[] {
  const { form } = shape
  if (form.vexLength !== undefined) {
    const memory = { base: 7, index: form.vectorIndex ? RM : undefined, displacement: misaligned ? 1 : 0 }
    return [
      ...encodeParts(form, MODE, {
        operandSize: shape.wide ? 64 : 32,
        reg: REG,
        rm: RM,
        vexRegister: VVVV,
        immediateRegister: IS4,
        immediates: [immediate],
        ...(shape.memory ? { memory } : {}),
      }),
    ]
  }
  const prefix = { NP: [], NFx: [], 66: [0x66], F3: [0xf3], F2: [0xf2] }[form.mandatoryPrefix ?? 'NP']
  const bytes = [...prefix, ...(shape.wide ? [0x48] : []), ...[[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][form.map]]
  bytes.push(form.opcode)
  if (form.modrm !== undefined) {
    const reg = form.modrm === 'r' ? REG : form.modrm
    if (shape.memory && misaligned) bytes.push(0x47 | (reg << 3), 1)
    else bytes.push(shape.memory ? (reg << 3) | 7 : 0xc0 | (reg << 3) | RM)
  }
  if (form.immediates.length) bytes.push(immediate)
  return bytes
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
  // What programs have after their first inexact result: the quick ways.
  if (random.below(2) === 0) return 0x1fa0 | Number(random.bits(6))
  let mxcsr = 0x1f80 | (random.below(4) << 13)
  if (random.below(3) === 0) mxcsr |= 0x8000
  if (random.below(3) === 0) mxcsr |= 0x40
  if (random.below(3) === 0) mxcsr &= ~(Number(random.bits(6)) << 7)
  if (random.below(3) === 0) mxcsr |= Number(random.bits(6)) & (mxcsr >> 7)
  return mxcsr
}

/** A record with an instruction and a random state before it. */
export function record(shape: Shape, misaligned: boolean): Uint8Array {
  const bytes = new Uint8Array(N.RECORD)
  const view = new DataView(bytes.buffer)
  const code = encode(shape, shape.immediate ?? Number(random.bits(8)), misaligned)
  bytes.set(code)
  bytes[N.LENGTH] = code.length
  const kind = random.below(8)
  const lanes = () => (kind < 6 ? kind : random.below(6))
  fill(view, N.XMM, 16, lanes())
  fill(view, N.XMM + 16, 16, lanes())
  fill(view, N.XMM + 32, 16, lanes())
  fill(view, N.MM, 24, lanes())
  fill(view, N.MEMORY, N.MEMORY_BYTES, lanes())
  for (let n = 0; n < 3; n++) fill(view, N.HIGH + n * 16, 16, lanes())
  // Equal operands now and then.
  if (random.below(8) === 0) bytes.copyWithin(N.MEMORY, N.XMM + 32, N.XMM + 48)
  if (random.below(8) === 0) bytes.copyWithin(N.XMM + 16, N.XMM + 32, N.XMM + 48)
  if (shape.form.vectorIndex) {
    // The indices point into the memory; half of the elements are wanted.
    const wide = /^V(P?GATHERQ)/.test(shape.form.instruction.mnemonic)
    for (const at of [N.XMM + 16, N.HIGH + 16]) {
      for (let i = 0; i < 16; i += wide ? 8 : 4) {
        if (wide) view.setBigInt64(at + i, BigInt(random.below(48)), true)
        else view.setInt32(at + i, random.below(48), true)
      }
    }
  }
  for (const at of [N.RAX, N.RCX, N.RDX]) {
    const small = random.below(2) === 0
    view.setBigInt64(at, small ? BigInt(random.below(40) - 20) : BigInt.asIntN(64, random.bits(64)), true)
  }
  view.setBigUint64(N.RFLAGS, (random.bits(12) & 0x8d5n) | 0x202n, true)
  view.setUint32(N.MXCSR, control(), true)
  return bytes
}

const APPROXIMATE = /^V?(RCP|RSQRT)/

function nearlyEqual(a: DataView, b: DataView): boolean {
  for (let i = 0; i < 96; i += 4) {
    const at = i < 48 ? N.XMM + i : N.HIGH + i - 48
    const [x, y] = [a.getFloat32(at, true), b.getFloat32(at, true)]
    if (a.getUint32(at, true) === b.getUint32(at, true)) continue
    if (!(Math.abs(x - y) <= Math.abs(y) * 1.5 * 2 ** -11) || Number.isNaN(x)) return false
  }
  return true
}

/** Puts registers and MXCSR of a record into a state whose memory operand is at `rdi`. */
export function loadState(state: StateView, record: Uint8Array, rdi: number): void {
  const view = new DataView(record.buffer)
  for (let n = 0; n < 3; n++) {
    state.bytes.set(record.subarray(N.XMM + n * 16, N.XMM + n * 16 + 16), F.xmm.offset + n * 16)
    state.bytes.set(record.subarray(N.HIGH + n * 16, N.HIGH + n * 16 + 16), F.ymmHigh.offset + n * 16)
    state.set64(F.fpr, view.getBigUint64(N.MM + n * 8, true), n)
    state.set64(F.gpr, view.getBigUint64([N.RAX, N.RCX, N.RDX][n], true), n)
  }
  state.set64(F.gpr, BigInt(rdi), 7)
  setMxcsr(state, view.getUint32(N.MXCSR, true))
}

/** The record after an instruction: registers and MXCSR of the state, and what else is told. */
export function storeState(
  state: StateView,
  record: Uint8Array,
  rflags: number,
  trapped: number,
  memory: Uint8Array,
): Uint8Array {
  const after = record.slice()
  const view = new DataView(after.buffer)
  for (let n = 0; n < 3; n++) {
    after.set(state.bytes.subarray(F.xmm.offset + n * 16, F.xmm.offset + n * 16 + 16), N.XMM + n * 16)
    after.set(state.bytes.subarray(F.ymmHigh.offset + n * 16, F.ymmHigh.offset + n * 16 + 16), N.HIGH + n * 16)
    view.setBigUint64(N.MM + n * 8, state.get64(F.fpr, n), true)
    view.setBigUint64([N.RAX, N.RCX, N.RDX][n], state.get64(F.gpr, n), true)
  }
  view.setUint32(N.MXCSR, state.get32(F.mxcsr), true)
  view.setUint32(N.TRAPPED, trapped, true)
  view.setUint32(N.RFLAGS, (rflags & ARITHMETIC) | 0x202, true)
  after.set(memory.subarray(0, N.MEMORY_BYTES), N.MEMORY)
  return after
}

const ARITHMETIC = 0x8d5

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

const PARTS: readonly [name: string, at: number, length: number][] = [
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
  ['memory', N.MEMORY, N.MEMORY_BYTES],
  ['high0', N.HIGH, 16],
  ['high1', N.HIGH + 16, 16],
  ['high2', N.HIGH + 32, 16],
]

/** A case in words: state before, and where after it differs. */
function describe(shape: Shape, before: Uint8Array, after: Uint8Array, expected: Uint8Array): string {
  const lines = [`${shape.name} ${hex(before.subarray(0, before[N.LENGTH]))}`]
  for (const [name, at, length] of PARTS) {
    const [b, g, w] = [before, after, expected].map(bytes => hex(bytes.subarray(at, at + length)))
    lines.push(g === w ? `  ${name}: ${b}` : `  ${name}: ${b}\n    got  ${g}\n    want ${w}`)
  }
  return lines.join('\n')
}

/**
 * Runs `each` cases of every shape on the processor and by `ours` (record before to record after).
 * @param misaligned how many of 8 cases with memory operands have them at an odd address
 * @returns what differed, in words; empty if nothing did
 */
export function differences(
  runner: (records: Uint8Array) => Uint8Array,
  shapes: readonly Shape[],
  each: number,
  misaligned: number,
  ours: (index: number, record: Uint8Array) => Uint8Array,
): string {
  // AMD's processors let SHA instructions have unaligned operands; the definitions follow Intel's manual: #GP.
  const odd = (shape: Shape) => random.below(8) < misaligned && !shape.name.startsWith('SHA')
  const cases = shapes.flatMap((shape, index) =>
    Array.from({ length: each }, () => ({ shape, index, before: record(shape, odd(shape)) })),
  )
  const input = new Uint8Array(cases.length * N.RECORD)
  for (const [i, { before }] of cases.entries()) input.set(before, i * N.RECORD)
  const output = runner(input)
  const failures = new Map<string, string>()
  for (const [i, { shape, index, before }] of cases.entries()) {
    const expected = output.slice(i * N.RECORD, (i + 1) * N.RECORD)
    const want = new DataView(expected.buffer)
    want.setUint32(N.RFLAGS, (want.getUint32(N.RFLAGS, true) & ARITHMETIC) | 0x202, true)
    const after = ours(index, before)
    if (APPROXIMATE.test(shape.name) && nearlyEqual(new DataView(after.buffer), want)) continue
    if (hex(after) !== hex(expected) && !failures.has(shape.name)) {
      failures.set(shape.name, describe(shape, before, after, expected))
    }
  }
  if (failures.size === 0) return ''
  const shown = [...failures.values()].slice(0, Number(process.env.SHOW ?? 5)).join('\n')
  return `${failures.size} of ${shapes.length} shapes:\n${[...failures.keys()].join('\n')}\n${shown}`
}

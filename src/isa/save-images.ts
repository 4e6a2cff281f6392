/**
 * Saving and restoring the state of x87 and SSE: FXSAVE, XSAVE and their like, MXCSR, XCR0 (SDM vol. 1, 10.5 and 13;
 * vol. 2). x87 and SSE always count as in use (XINUSE), which the manual allows; AVX does while some upper half is not zero.
 */

import { F, RAX, RCX, RDX } from '../cpu/state.ts'
import { changeMxcsr } from '../float/mxcsr.ts'
import { setStatusWord } from '../float/x87-status.ts'
import { V128_ANY_TRUE } from '../wasm/simd.ts'
import { type Instruction, instruction } from './definition.ts'
import {
  type Code,
  GP,
  type Int,
  type MemoryOperand,
  NM,
  type Operand,
  routine,
  type Semantics,
  UD,
} from './semantics.ts'
import { vexForm } from './vex.ts'
import { summarise, x87Initialise } from './x87-control.ts'

/** XCR0's bits. */
const X87 = 1
const SSE = 2
const AVX = 4
/** The components that can be enabled; AVX only with SSE. */
export const SUPPORTED_XCR0 = X87 | SSE | AVX

/** MXCSR's bits that exist, DAZ among them: what FXSAVE says in MXCSR_MASK. */
export const MXCSR_MASK = 0xffff

const CR0_TS = 3
const CR4_OSXSAVE = 18

/** Places in the image (SDM vol. 1, table 10-2 and 13.4). */
const MXCSR_AT = 24
const REGISTERS_AT = 32
const XMM_AT = 160
const LEGACY_SIZE = 512
const XSTATE_BV = 512
const XCOMP_BV = 520
const HEADER_END = 576
/** Upper halves of YMM registers, in the compacted format too: no component lies before them. */
const YMM_AT = 576
const YMM_SIZE = 256

/** Two bits a register to one: 1 where it is not empty. */
const abridgedTags = routine('x87AbridgedTags', [], 32, code => {
  const tags = code.get(F.ftw)
  let v = code.variable(32, tags.and(tags.shr(1)).not().and(0x5555)).value
  v = v.or(v.shr(1)).and(0x3333)
  v = v.or(v.shr(2)).and(0x0f0f)
  return v.or(v.shr(4)).and(0xff)
})

/** The tag word for an abridged one. */
const fullTags = routine('x87FullTags', [32], 32, (_code, abridged) => {
  let v = abridged.and(0xff)
  v = v.or(v.shl(4)).and(0x0f0f)
  v = v.or(v.shl(2)).and(0x3333)
  v = v.or(v.shl(1)).and(0x5555)
  return v.mul(3).xor(0xffff)
})

const VECTOR_FPR = { ...F.fpr, type: 'v128' } as const

/** For each stack register: its place in the image and the number of the physical register. */
function eachStackRegister(m: Code, body: (offset: Int, physical: Int) => void): void {
  const i = m.variable(32, 0)
  const top = m.variable(32, m.get(F.fsw).shr(11))
  m.while(
    () => i.value.ltU(8),
    () => {
      body(i.value.shl(4).add(REGISTERS_AT), top.value.add(i.value).and(7))
      i.value = i.value.add(1)
    },
  )
}

/** The x87's part of the image. `wide`: 64-bit pointers (REX.W). All memory has been probed. */
function saveX87(m: Semantics, a: MemoryOperand, wide: boolean): void {
  a.at(0, 16).write(m.get(F.fcw).truncate(16))
  a.at(2, 16).write(m.get(F.fsw).truncate(16))
  a.at(4, 16).write(m.call(abridgedTags).truncate(16))
  a.at(6, 16).write(m.get(F.fop).and(0x7ff).truncate(16))
  if (wide) {
    a.at(8, 64).write(m.get(F.fip))
    a.at(16, 64).write(m.get(F.fdp))
  } else {
    a.at(8, 32).write(m.get(F.fip).truncate(32))
    a.at(12, 32).write(m.get(F.fcs).and(0xffff))
    a.at(16, 32).write(m.get(F.fdp).truncate(32))
    a.at(20, 32).write(m.get(F.fds).and(0xffff))
  }
  eachStackRegister(m, (offset, physical) => a.at(offset).writeVector(m.getVector(VECTOR_FPR, physical)))
}

/** Takes the x87's part of an image. All memory has been read before. */
function restoreX87(m: Semantics, a: MemoryOperand, wide: boolean): void {
  const control = m.variable(32, a.at(0, 16).read().zeroExtend(32).and(0x1f3f).or(0x40))
  m.set(F.fcw, control.value)
  setStatusWord(m, summarise(m, control.value, a.at(2, 16).read().zeroExtend(32)))
  m.set(F.ftw, m.call(fullTags, a.at(4, 8).read().zeroExtend(32)))
  m.set(F.fop, a.at(6, 16).read().zeroExtend(32).and(0x7ff))
  if (wide) {
    m.set(F.fip, a.at(8, 64).read())
    m.set(F.fdp, a.at(16, 64).read())
    m.set(F.fcs, 0)
    m.set(F.fds, 0)
  } else {
    m.set(F.fip, a.at(8, 32).read().zeroExtend(64))
    m.set(F.fcs, a.at(12, 16).read().zeroExtend(32))
    m.set(F.fdp, a.at(16, 32).read().zeroExtend(64))
    m.set(F.fds, a.at(20, 16).read().zeroExtend(32))
  }
  eachStackRegister(m, (offset, physical) => {
    m.set(F.fpr, a.at(offset, 64).read(), physical)
    m.setPart(F.fpr, 8, a.at(offset.add(8), 16).read(), physical)
  })
}

/** XMM registers that the mode has. */
const xmmCount = (m: Semantics) => (m.context.mode === 'long' ? 16 : 8)

function saveMxcsr(m: Semantics, a: MemoryOperand): void {
  a.at(MXCSR_AT, 32).write(m.get(F.mxcsr))
  a.at(MXCSR_AT + 4, 32).write(MXCSR_MASK)
}

function saveXmm(m: Semantics, a: MemoryOperand): void {
  for (let i = 0; i < xmmCount(m); i++) a.at(XMM_AT + 16 * i).writeVector(m.xmm(i).readVector())
}

function restoreXmm(m: Semantics, a: MemoryOperand): void {
  for (let i = 0; i < xmmCount(m); i++) m.xmm(i).writeVector(a.at(XMM_AT + 16 * i).readVector())
}

function clearXmm(m: Semantics): void {
  const zero = new Uint8Array(16)
  for (let i = 0; i < xmmCount(m); i++) m.xmm(i).writeVector(m.vector(zero))
}

/** XINUSE's bit of AVX: {@link AVX} while some upper half of a YMM register is not zero, else 0. */
function ymmInUse(m: Semantics): Int {
  let all = m.xmm(0).upper.readVector()
  for (let i = 1; i < F.ymmHigh.count; i++) all = all.or(m.xmm(i).upper.readVector())
  return all.toInt(V128_ANY_TRUE, 1).zeroExtend(32).mul(AVX)
}

function saveYmm(m: Semantics, a: MemoryOperand): void {
  for (let i = 0; i < xmmCount(m); i++) a.at(YMM_AT + 16 * i).writeVector(m.xmm(i).upper.readVector())
}

function restoreYmm(m: Semantics, a: MemoryOperand): void {
  for (let i = 0; i < xmmCount(m); i++) m.xmm(i).upper.writeVector(a.at(YMM_AT + 16 * i).readVector())
}

function clearYmm(m: Semantics): void {
  const zero = m.vector(new Uint8Array(16))
  for (let i = 0; i < xmmCount(m); i++) m.xmm(i).upper.writeVector(zero)
}

/** MXCSR from an image, with #GP(0) for bits that do not exist. */
function readMxcsr(m: Semantics, value: Int): Int {
  const word = m.variable(32, value)
  m.raiseIf(word.value.and(~MXCSR_MASK).isNonZero(), GP, 0)
  return word.value
}

/** Reads the first and the last byte, on all the pages that the image lies on: afterwards no read faults. */
function probeRead(a: MemoryOperand, size: number): void {
  a.at(0, 8).read()
  a.at(size - 1, 8).read()
}

const fxsave = (name: string, form: string) =>
  instruction<[MemoryOperand]>(name, {
    encodings: [`${form} NP 0F AE /0  M`],
    unit: 'x87-no-wait',
    feature: 'fxsr',
    execute(m, a) {
      a.requireAligned(16)
      a.probeWrite(LEGACY_SIZE)
      saveX87(m, a, name === 'FXSAVE64')
      saveMxcsr(m, a)
      saveXmm(m, a)
    },
  })

const fxrstor = (name: string, form: string) =>
  instruction<[MemoryOperand]>(name, {
    encodings: [`${form} NP 0F AE /1  M`],
    unit: 'x87-no-wait',
    feature: 'fxsr',
    execute(m, a) {
      a.requireAligned(16)
      probeRead(a, LEGACY_SIZE)
      const mxcsr = m.variable(32, readMxcsr(m, a.at(MXCSR_AT, 32).read()))
      m.unsettle()
      m.call(changeMxcsr, mxcsr.value)
      restoreX87(m, a, name === 'FXRSTOR64')
      restoreXmm(m, a)
    },
  })

/** #UD without CR4.OSXSAVE, #NM by CR0.TS. */
function checkXsave(m: Semantics): void {
  m.raiseIf(m.get(F.cr4).bit(CR4_OSXSAVE).not(), UD)
  m.raiseIf(m.get(F.cr0).bit(CR0_TS), NM)
}

/** The components that the instruction is asked for: EDX:EAX and XCR0, whose upper half is 0. */
const requested = (m: Semantics): Int => m.register(RAX, 32).read().and(m.get(F.xcr0))

/**
 * XSAVE, XSAVEOPT (which leaves out what is not in use, and may leave out what has not changed but never does) and XSAVEC
 * (compacted format, without what is not in use).
 */
const xsave = (name: string, encoding: string, feature: string) =>
  instruction<[MemoryOperand]>(name, {
    encodings: [encoding],
    feature,
    execute(m, a) {
      checkXsave(m)
      a.requireAligned(64)
      const mask = m.variable(32, requested(m))
      const compacted = name.startsWith('XSAVEC')
      const inUse = m.variable(32, mask.value.and(ymmInUse(m).or(X87 | SSE)))
      const written = name.startsWith('XSAVE64') || name === 'XSAVE' ? mask : inUse
      a.probeWrite(HEADER_END)
      m.if(written.value.and(AVX).isNonZero(), () => a.at(YMM_AT).probeWrite(YMM_SIZE))
      m.if(mask.value.and(X87).isNonZero(), () => saveX87(m, a, name.endsWith('64')))
      // In the standard format MXCSR is AVX's too.
      m.if(mask.value.and(compacted ? SSE : SSE | AVX).isNonZero(), () => saveMxcsr(m, a))
      m.if(mask.value.and(SSE).isNonZero(), () => saveXmm(m, a))
      m.if(written.value.and(AVX).isNonZero(), () => saveYmm(m, a))
      const bits = inUse.value.zeroExtend(64)
      if (compacted) {
        a.at(XSTATE_BV, 64).write(bits)
        a.at(XCOMP_BV, 64).write(mask.value.zeroExtend(64).or(1n << 63n))
      } else {
        const header = a.at(XSTATE_BV, 64)
        // Components that were not asked for keep their bits.
        const others = mask.value.zeroExtend(64).not()
        header.write(a.at(XSTATE_BV, 64).read().and(others).or(bits))
      }
    },
  })

const xrstor = (name: string, form: string) =>
  instruction<[MemoryOperand]>(name, {
    encodings: [`${form} NP 0F AE /5  M`],
    feature: 'xsave',
    execute(m, a) {
      checkXsave(m)
      a.requireAligned(64)
      probeRead(a, HEADER_END)
      const mask = m.variable(32, requested(m))
      const present = m.variable(64, a.at(XSTATE_BV, 64).read())
      const format = m.variable(64, a.at(XCOMP_BV, 64).read())
      const compacted = m.variable(32, format.value.shr(63).truncate(32))
      const enabled = m.variable(64, m.get(F.xcr0).zeroExtend(64))
      m.raiseIf(present.value.and(enabled.value.not()).isNonZero(), GP, 0)
      const reserved = m.variable(64, a.at(XCOMP_BV + 8, 64).read())
      m.if(
        compacted.value.isNonZero(),
        () => {
          const components = format.value.and((1n << 63n) - 1n)
          m.raiseIf(components.and(enabled.value.not()).isNonZero(), GP, 0)
          m.raiseIf(present.value.and(components.not()).isNonZero(), GP, 0)
          for (let at = XCOMP_BV + 16; at < HEADER_END; at += 8) reserved.value = reserved.value.or(a.at(at, 64).read())
        },
        () => m.raiseIf(format.value.isNonZero(), GP, 0),
      )
      m.raiseIf(reserved.value.isNonZero(), GP, 0)
      const restored = m.variable(32, present.value.truncate(32).and(mask.value))
      m.if(restored.value.and(AVX).isNonZero(), () => probeRead(a.at(YMM_AT), YMM_SIZE))
      // MXCSR belongs to SSE; the standard format always has it, for AVX too, the compacted one only with SSE's registers.
      const mxcsr = m.variable(32, 0x1f80)
      const standard = compacted.value.isZero().and(mask.value.and(SSE | AVX).isNonZero())
      const hasMxcsr = standard.or(compacted.value.isNonZero().and(restored.value.and(SSE).isNonZero()))
      m.if(hasMxcsr, () => {
        mxcsr.value = readMxcsr(m, a.at(MXCSR_AT, 32).read())
      })
      const takesMxcsr = m.variable(1, standard.or(mask.value.and(SSE).isNonZero()))
      m.if(mask.value.and(X87).isNonZero(), () =>
        m.if(
          restored.value.and(X87).isNonZero(),
          () => restoreX87(m, a, name === 'XRSTOR64'),
          () => {
            m.call(x87Initialise)
            for (let i = 0; i < 8; i++) m.setVector(VECTOR_FPR, m.vector(new Uint8Array(16)), i)
          },
        ),
      )
      m.if(takesMxcsr.value, () => {
        m.unsettle()
        m.call(changeMxcsr, mxcsr.value)
      })
      m.if(mask.value.and(SSE).isNonZero(), () =>
        m.if(
          restored.value.and(SSE).isNonZero(),
          () => restoreXmm(m, a),
          () => clearXmm(m),
        ),
      )
      m.if(mask.value.and(AVX).isNonZero(), () =>
        m.if(
          restored.value.and(AVX).isNonZero(),
          () => restoreYmm(m, a),
          () => clearYmm(m),
        ),
      )
    },
  })

export const LDMXCSR = instruction<[Operand]>('LDMXCSR', {
  encodings: ['NP 0F AE /2  Md'],
  unit: 'sse',
  feature: 'sse',
  execute(m, a) {
    m.unsettle()
    m.call(changeMxcsr, readMxcsr(m, a.read()))
  },
})

export const STMXCSR = instruction<[Operand]>('STMXCSR', {
  encodings: ['NP 0F AE /3  Md'],
  unit: 'sse',
  feature: 'sse',
  execute(m, a) {
    a.write(m.get(F.mxcsr))
  },
})

export const XGETBV = instruction<[]>('XGETBV', {
  encodings: ['NP 0F 01 /2 /rm0'],
  feature: 'xsave',
  execute(m) {
    m.raiseIf(m.get(F.cr4).bit(CR4_OSXSAVE).not(), UD)
    // 0 is XCR0, 1 what of it is in use.
    const number = m.variable(32, m.register(RCX, 32).read())
    m.raiseIf(number.value.gtU(1), GP, 0)
    const inUse = ymmInUse(m).or(X87 | SSE)
    m.register(RAX, 32).write(m.get(F.xcr0).and(number.value.isZero().select(m.const(-1, 32), inUse)))
    m.register(RDX, 32).write(0)
  },
})

export const XSETBV = instruction<[]>('XSETBV', {
  encodings: ['NP 0F 01 /2 /rm1'],
  feature: 'xsave',
  privilege: 'cpl0',
  endsBlock: true,
  execute(m) {
    m.raiseIf(m.get(F.cr4).bit(CR4_OSXSAVE).not(), UD)
    const value = m.register(RAX, 32).read()
    const high = m.register(RDX, 32).read()
    m.raiseIf(m.register(RCX, 32).read().isNonZero(), GP, 0)
    m.raiseIf(high.isNonZero().or(value.and(~SUPPORTED_XCR0).isNonZero()).or(value.bit(0).not()), GP, 0)
    m.raiseIf(value.and(SSE | AVX).eq(AVX), GP, 0)
    m.service('writeExtendedControl', value)
  },
})

export const instructions: readonly Instruction[] = [
  fxsave('FXSAVE', 'W0'),
  fxsave('FXSAVE64', 'W1'),
  fxrstor('FXRSTOR', 'W0'),
  fxrstor('FXRSTOR64', 'W1'),
  LDMXCSR,
  STMXCSR,
  vexForm(LDMXCSR, { length: 'LZ' }),
  vexForm(STMXCSR, { length: 'LZ' }),
  xsave('XSAVE', 'W0 NP 0F AE /4  M', 'xsave'),
  xsave('XSAVE64', 'W1 NP 0F AE /4  M', 'xsave'),
  xsave('XSAVEOPT', 'W0 NP 0F AE /6  M', 'xsaveopt'),
  xsave('XSAVEOPT64', 'W1 NP 0F AE /6  M', 'xsaveopt'),
  xsave('XSAVEC', 'W0 NP 0F C7 /4  M', 'xsavec'),
  xsave('XSAVEC64', 'W1 NP 0F C7 /4  M', 'xsavec'),
  xrstor('XRSTOR', 'W0'),
  xrstor('XRSTOR64', 'W1'),
  XGETBV,
  XSETBV,
]

/** Segment registers and what is known of segments (SDM vol. 2, ARPL LAR LDS … LGS LSL MOV POP PUSH RDFSBASE … SWAPGS VERR VERW). */

import { CR4_FSGSBASE } from '../cpu/registers.ts'
import { DS, ES, F, FS, GS, SS } from '../cpu/state.ts'
import { isCanonical } from './canonical.ts'
import { type Instruction, instruction } from './definition.ts'
import { loadSegmentFlat } from './protected-transfers.ts'
import { GP, type MemoryOperand, type NumberedOperand, type Operand, type Semantics, UD } from './semantics.ts'

const PROTECTED = ['protected', 'compatibility', 'long'] as const

/** Into a register of the operand size, or into 16 bits of memory. */
export const MOV_FROM_SEGMENT = instruction<[Operand, NumberedOperand]>('MOV', {
  title: 'MOV from segment register',
  encodings: ['8C /r reg  Ev,Sw', '8C /r mem  Ew,Sw'],
  execute(m, destination, source) {
    destination.write(m.get(F.segmentSelector, source.number).resize(destination.width))
  },
})

export const MOV_TO_SEGMENT = instruction<[NumberedOperand, Operand]>('MOV', {
  title: 'MOV to segment register',
  encodings: ['8E /r  Sw,Ew'],
  endsBlock: true,
  execute(m, destination, source) {
    if (m.context.mode === 'protected') loadSegmentFlat(m, destination.number, source.read())
    else m.service('loadSegment', destination.number, source.read())
  },
})

export const PUSH_SEGMENT = instruction<[NumberedOperand]>('PUSH', {
  title: 'PUSH segment register',
  encodings: ['06 i64  ES', '0E i64  CS', '16 i64  SS', '1E i64  DS', '0F A0 d64  FS', '0F A8 d64  GS'],
  execute(m, source) {
    m.push(m.get(F.segmentSelector, source.number).resize(m.context.operandSize))
  },
})

export const POP_SEGMENT = instruction<[NumberedOperand]>('POP', {
  title: 'POP segment register',
  encodings: ['07 i64  ES', '17 i64  SS', '1F i64  DS', '0F A1 d64  FS', '0F A9 d64  GS'],
  endsBlock: true,
  execute(m, destination) {
    const { operandSize } = m.context
    const selector = m.peek(operandSize).truncate(16)
    if (m.context.mode === 'protected') loadSegmentFlat(m, destination.number, selector)
    else m.service('loadSegment', destination.number, selector)
    m.drop(operandSize / 8)
  },
})

const loadFar = (mnemonic: string, encoding: string, segment: number): Instruction =>
  instruction<[Operand, MemoryOperand]>(mnemonic, {
    encodings: [encoding],
    endsBlock: true,
    execute(m, destination, source) {
      const { width } = destination
      const offset = source.at(0, width).read()
      m.service('loadFarSegment', segment, source.at(width / 8, 16).read())
      destination.write(offset)
    },
  })

export const LES = loadFar('LES', 'C4 /r i64  Gv,M', ES)
export const LDS = loadFar('LDS', 'C5 /r i64  Gv,M', DS)
export const LSS = loadFar('LSS', '0F B2 /r  Gv,M', SS)
export const LFS = loadFar('LFS', '0F B4 /r  Gv,M', FS)
export const LGS = loadFar('LGS', '0F B5 /r  Gv,M', GS)

/** Requires CR4.FSGSBASE. */
function requireFsGsBase(m: Semantics): void {
  m.raiseIf(m.get(F.cr4).and(CR4_FSGSBASE).isZero(), UD)
}

const readBase = (mnemonic: string, extension: number, segment: number): Instruction =>
  instruction(mnemonic, {
    encodings: [`F3 0F AE /${extension} o64  Ry`],
    feature: 'fsgsbase',
    execute(m, destination) {
      requireFsGsBase(m)
      destination.write(m.get(F.segmentBase, segment).truncate(destination.width))
    },
  })

const writeBase = (mnemonic: string, extension: number, segment: number): Instruction =>
  instruction(mnemonic, {
    encodings: [`F3 0F AE /${extension} o64  Ry`],
    feature: 'fsgsbase',
    execute(m, source) {
      requireFsGsBase(m)
      const base = source.read().zeroExtend(64)
      m.raiseIf(isCanonical(m, base).isZero(), GP, 0)
      m.set(F.segmentBase, base, segment)
    },
  })

export const RDFSBASE = readBase('RDFSBASE', 0, FS)
export const RDGSBASE = readBase('RDGSBASE', 1, GS)
export const WRFSBASE = writeBase('WRFSBASE', 2, FS)
export const WRGSBASE = writeBase('WRGSBASE', 3, GS)

export const SWAPGS = instruction<[]>('SWAPGS', {
  encodings: ['0F 01 /7 /rm0 o64'],
  privilege: 'cpl0',
  execute(m) {
    const user = m.get(F.segmentBase, GS)
    m.set(F.segmentBase, m.get(F.kernelGsBase), GS)
    m.set(F.kernelGsBase, user)
  },
})

/** LAR and LSL: a result and ZF, or only ZF clear. */
const inspect = (mnemonic: string, opcode: string, service: string): Instruction =>
  instruction(mnemonic, {
    encodings: [`0F ${opcode} /r  Gv,Ew`],
    modes: PROTECTED,
    execute(m, destination, source) {
      m.service(service, source.read())
      m.if(m.flags.zero, () => {
        const result = m.serviceResult(32)
        destination.write(destination.width === 64 ? result.zeroExtend(64) : result.truncate(destination.width))
      })
    },
  })

export const LAR = inspect('LAR', '02', 'loadAccessRights')
export const LSL = inspect('LSL', '03', 'loadSegmentLimit')

const verify = (mnemonic: string, extension: number, service: string): Instruction =>
  instruction(mnemonic, {
    encodings: [`0F 00 /${extension}  Ew`],
    modes: PROTECTED,
    execute(m, source) {
      m.service(service, source.read())
    },
  })

export const VERR = verify('VERR', 4, 'verifyRead')
export const VERW = verify('VERW', 5, 'verifyWrite')

export const ARPL = instruction('ARPL', {
  encodings: ['63 /r i64  Ew,Gw'],
  modes: PROTECTED,
  execute(m, destination, source) {
    // Read as an operand of its own: memory that does not change need not be writable.
    const place = destination.kind === 'memory' ? (destination as MemoryOperand).at(0) : destination
    const selector = place.read()
    const rpl = source.read().and(3)
    const lower = selector.and(3).ltU(rpl)
    m.if(lower, () => destination.write(selector.and(0xfffc).or(rpl)))
    m.flags.set({ zero: lower })
  },
})

export const instructions: readonly Instruction[] = [
  MOV_FROM_SEGMENT,
  MOV_TO_SEGMENT,
  PUSH_SEGMENT,
  POP_SEGMENT,
  LES,
  LDS,
  LSS,
  LFS,
  LGS,
  RDFSBASE,
  RDGSBASE,
  WRFSBASE,
  WRGSBASE,
  SWAPGS,
  LAR,
  LSL,
  VERR,
  VERW,
  ARPL,
]

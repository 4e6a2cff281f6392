/** Control of the processor as such (SDM vol. 2, CLAC CLTS CPUID HLT INVD INVLPG INVPCID RSM STAC VMCALL VMMCALL WBINVD). */
import { AC, F } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import { refreshMode } from './privilege.ts'
import { type MemoryOperand, type Operand, UD } from './semantics.ts'

export const HLT = instruction<[]>('HLT', {
  encodings: ['F4'],
  privilege: 'cpl0',
  endsBlock: true,
  execute(m) {
    m.service('halt')
  },
})

export const CLTS = instruction<[]>('CLTS', {
  encodings: ['0F 06'],
  privilege: 'cpl0',
  endsBlock: true,
  execute(m) {
    m.service('clearTaskSwitched')
  },
})

/** Caches are not modelled: nothing is lost, nothing to be written back. */
const cacheControl = (mnemonic: string, encoding: string): Instruction =>
  instruction<[]>(mnemonic, { encodings: [encoding], privilege: 'cpl0', execute() {} })

export const INVD = cacheControl('INVD', '0F 08')
export const WBINVD = cacheControl('WBINVD', '0F 09')

export const INVLPG = instruction<[MemoryOperand]>('INVLPG', {
  encodings: ['0F 01 /7 mem  M'],
  privilege: 'cpl0',
  endsBlock: true,
  execute(m, place) {
    m.service('invalidatePage', place.offset.zeroExtend(64))
  },
})

export const INVPCID = instruction<[Operand, MemoryOperand]>('INVPCID', {
  encodings: ['66 0F 38 82 /r i64  Gd,Mdq', '66 0F 38 82 /r o64 f64  Gq,Mdq'],
  feature: 'invpcid',
  privilege: 'cpl0',
  modes: ['real', 'protected', 'compatibility', 'long'],
  endsBlock: true,
  execute(m, type, descriptor) {
    const pcid = descriptor.at(0, 64).read()
    const address = descriptor.at(8, 64).read()
    m.service('invalidatePcid', type.read().zeroExtend(64), pcid, address)
  },
})

export const CPUID = instruction<[]>('CPUID', {
  encodings: ['0F A2'],
  execute(m) {
    m.service('cpuid')
  },
})

/** STAC and CLAC: undefined but for CPL 0. */
const changeAlignmentCheck = (mnemonic: string, rm: number, set: boolean): Instruction =>
  instruction<[]>(mnemonic, {
    encodings: [`NP 0F 01 /1 /rm${rm}`],
    feature: 'smap',
    modes: ['real', 'protected', 'compatibility', 'long'],
    endsBlock: true,
    execute(m) {
      if (m.context.mode !== 'real') m.raiseIf(m.privilegeLevel.isNonZero(), UD)
      const flags = m.get(F.systemFlags)
      m.set(F.systemFlags, set ? flags.or(AC) : flags.and(~AC))
      m.call(refreshMode)
    },
  })

export const CLAC = changeAlignmentCheck('CLAC', 2, false)
export const STAC = changeAlignmentCheck('STAC', 3, true)

/** Return from system-management mode, in which this processor never is. */
export const RSM = instruction<[]>('RSM', { encodings: ['0F AA'], execute: m => m.raise(UD) })

const hypercall = (mnemonic: string, encoding: string): Instruction =>
  instruction<[]>(mnemonic, {
    encodings: [encoding],
    feature: 'hypervisor',
    endsBlock: true,
    execute(m) {
      m.service('hypercall')
    },
  })

export const VMCALL = hypercall('VMCALL', 'NP 0F 01 /0 /rm1')
export const VMMCALL = hypercall('VMMCALL', '0F 01 /3 /rm1')

export const instructions: readonly Instruction[] = [
  HLT,
  CLTS,
  INVD,
  WBINVD,
  INVLPG,
  INVPCID,
  CPUID,
  CLAC,
  STAC,
  RSM,
  VMCALL,
  VMMCALL,
]

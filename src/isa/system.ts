/** System registers and tables (SDM vol. 2, LGDT LIDT LLDT LMSW LTR MOV CR/DR SGDT SIDT SLDT SMSW STR, RDMSR WRMSR). */

import { CR4_UMIP } from '../cpu/registers.ts'
import { F, GDTR, IDTR, LDTR, TR } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import { GP, type Int, type MemoryOperand, type NumberedOperand, type Operand, type Semantics } from './semantics.ts'

const PROTECTED = ['protected', 'compatibility', 'long'] as const

/** Under UMIP what tells of the system is privileged. */
function checkUmip(m: Semantics): void {
  if (m.context.mode === 'real') return
  m.raiseIf(m.get(F.cr4).and(CR4_UMIP).isNonZero().and(m.privilegeLevel.isNonZero()), GP, 0)
}

const storeSelector = (mnemonic: string, extension: number, segment: number): Instruction =>
  instruction(mnemonic, {
    encodings: [`0F 00 /${extension}  Rv`, `0F 00 /${extension}  Mw`],
    modes: PROTECTED,
    execute(m, destination) {
      checkUmip(m)
      destination.write(m.get(F.segmentSelector, segment).resize(destination.width))
    },
  })

export const SLDT = storeSelector('SLDT', 0, LDTR)
export const STR = storeSelector('STR', 1, TR)

const loadSelector = (mnemonic: string, extension: number, service: string): Instruction =>
  instruction(mnemonic, {
    encodings: [`0F 00 /${extension}  Ew`],
    modes: PROTECTED,
    privilege: 'cpl0',
    endsBlock: true,
    execute(m, source) {
      m.service(service, source.read())
    },
  })

export const LLDT = loadSelector('LLDT', 2, 'loadLocalTable')
export const LTR = loadSelector('LTR', 3, 'loadTaskRegister')

/** Limit of 16 bits, then a base of 32 or, in 64-bit mode, 64 bits. */
const storeTable = (mnemonic: string, extension: number, table: number): Instruction =>
  instruction<[MemoryOperand]>(mnemonic, {
    encodings: [`0F 01 /${extension} mem  M`],
    execute(m, place) {
      checkUmip(m)
      const width = m.context.mode === 'long' ? 64 : 32
      place.probeWrite(2 + width / 8)
      place.at(0, 16).write(m.get(F.segmentLimit, table).truncate(16))
      place.at(2, width).write(m.get(F.segmentBase, table).truncate(width))
    },
  })

export const SGDT = storeTable('SGDT', 0, GDTR)
export const SIDT = storeTable('SIDT', 1, IDTR)

/** With 16-bit operand size the base has 24 bits. */
const loadTable = (mnemonic: string, extension: number, service: string): Instruction =>
  instruction<[MemoryOperand]>(mnemonic, {
    encodings: [`0F 01 /${extension} mem  M`],
    privilege: 'cpl0',
    endsBlock: true,
    execute(m, place) {
      const limit = place.at(0, 16).read()
      const base = place.at(2, m.context.mode === 'long' ? 64 : 32).read()
      const short = m.context.mode !== 'long' && m.context.operandSize === 16
      m.service(service, limit, (short ? base.and(0xffffff) : base).zeroExtend(64))
    },
  })

export const LGDT = loadTable('LGDT', 2, 'loadGlobalTable')
export const LIDT = loadTable('LIDT', 3, 'loadInterruptTable')

export const SMSW = instruction('SMSW', {
  encodings: ['0F 01 /4  Rv', '0F 01 /4  Mw'],
  execute(m, destination) {
    checkUmip(m)
    destination.write(m.get(F.cr0).resize(destination.width))
  },
})

export const LMSW = instruction('LMSW', {
  encodings: ['0F 01 /6  Ew'],
  privilege: 'cpl0',
  endsBlock: true,
  execute(m, source) {
    m.service('loadMachineStatusWord', source.read())
  },
})

const moveFrom = (
  title: string,
  opcode: string,
  letter: string,
  read: (m: Semantics, number: Int) => Int,
): Instruction =>
  instruction<[Operand, NumberedOperand]>('MOV', {
    title,
    encodings: [`0F ${opcode} /r i64  Rd,${letter}d`, `0F ${opcode} /r o64 f64  Rq,${letter}d`],
    privilege: 'cpl0',
    endsBlock: true,
    execute(m, destination, source) {
      destination.write(read(m, source.number).truncate(destination.width))
    },
  })

const moveTo = (title: string, opcode: string, letter: string, service: string): Instruction =>
  instruction<[NumberedOperand, Operand]>('MOV', {
    title,
    encodings: [`0F ${opcode} /r i64  ${letter}d,Rd`, `0F ${opcode} /r o64 f64  ${letter}d,Rq`],
    privilege: 'cpl0',
    endsBlock: true,
    execute(m, destination, source) {
      m.service(service, destination.number, source.read().zeroExtend(64))
    },
  })

/** CR2 is only a word of the state, and what every page fault's handler begins with. */
export const MOV_FROM_CONTROL = moveFrom('MOV from control register', '20', 'C', (m, number) => {
  const value = m.variable(64, m.get(F.cr2))
  m.if(number.ne(2), () => {
    m.service('readControl', number)
    value.value = m.serviceResult(64)
  })
  return value.value
})
export const MOV_FROM_DEBUG = moveFrom('MOV from debug register', '21', 'D', (m, number) => {
  m.service('readDebug', number)
  return m.serviceResult(64)
})
export const MOV_TO_CONTROL = moveTo('MOV to control register', '22', 'C', 'writeControl')
export const MOV_TO_DEBUG = moveTo('MOV to debug register', '23', 'D', 'writeDebug')

export const RDMSR = instruction<[]>('RDMSR', {
  encodings: ['0F 32'],
  feature: 'msr',
  privilege: 'cpl0',
  execute(m) {
    m.service('readMsr')
  },
})

export const WRMSR = instruction<[]>('WRMSR', {
  encodings: ['0F 30'],
  feature: 'msr',
  privilege: 'cpl0',
  endsBlock: true,
  execute(m) {
    m.service('writeMsr')
  },
})

export const instructions: readonly Instruction[] = [
  SLDT,
  STR,
  LLDT,
  LTR,
  SGDT,
  SIDT,
  LGDT,
  LIDT,
  SMSW,
  LMSW,
  MOV_FROM_CONTROL,
  MOV_FROM_DEBUG,
  MOV_TO_CONTROL,
  MOV_TO_DEBUG,
  RDMSR,
  WRMSR,
]

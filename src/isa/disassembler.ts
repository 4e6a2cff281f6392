/** Intel syntax for a decoded instruction, straight from its form: for dumps and logs. */
import { RSP } from '../cpu/state.ts'
import { type Decoded, isHighByte, NO_REGISTER, RIP_BASE } from './decoder.ts'
import type { Instruction } from './definition.ts'
import { type OperandSpec, operandWidth } from './encoding.ts'

const LOW_BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil']
const HIGH_BYTES = ['ah', 'ch', 'dh', 'bh']
const WORDS = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di']
const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs']
const SIZE_NAMES: Record<number, string> = {
  8: 'byte ptr ',
  16: 'word ptr ',
  32: 'dword ptr ',
  64: 'qword ptr ',
  80: 'tbyte ptr ',
  128: 'xmmword ptr ',
  256: 'ymmword ptr ',
}

/** Name of a general register of 8, 16, 32 or 64 bits; 8 gives SPL … DIL for 4–7, never AH … BH. */
export function registerName(number: number, width: number): string {
  if (number >= 8) return `r${number}${width === 64 ? '' : width === 32 ? 'd' : width === 16 ? 'w' : 'b'}`
  if (width === 8) return LOW_BYTES[number]
  return (width === 64 ? 'r' : width === 32 ? 'e' : '') + WORDS[number]
}

const sized = (mnemonic: string, word: string, dword: string, qword: string) =>
  [mnemonic, [mnemonic + word, mnemonic + dword, mnemonic + qword]] as const

/** Mnemonics whose printed name tells the operand size: 16, 32, 64 bits. */
const SIZED: ReadonlyMap<string, readonly string[]> = new Map([
  ...['IRET', 'PUSHF', 'POPF', 'PUSHA', 'POPA'].map(mnemonic => sized(mnemonic, '', 'D', 'Q')),
  ...['MOVS', 'CMPS', 'SCAS', 'LODS', 'STOS'].map(mnemonic => sized(mnemonic, 'W', 'D', 'Q')),
  ...['INS', 'OUTS'].map(mnemonic => sized(mnemonic, 'W', 'D', 'D')),
  ['MOVD', ['MOVD', 'MOVD', 'MOVQ']],
  ['VMOVD', ['VMOVD', 'VMOVD', 'VMOVQ']],
])

/**
 * The mnemonic as listings print it, lower case: of a title such as CBW/CWDE/CDQE the name for the operand size (for the
 * address size in JCXZ/JECXZ/JRCXZ).
 */
export function mnemonicOf(decoded: Decoded): string {
  const { instruction, operands } = decoded.form
  const size = operands[0]?.kind === 'relative' ? decoded.addressSize : decoded.operandSize
  const step = size === 16 ? 0 : size === 32 ? 1 : 2
  const names = instruction.title?.split('/')
  if (names && names.length > 1) return names[Math.min(step, names.length - 1)].toLowerCase()
  return (SIZED.get(instruction.mnemonic)?.[step] ?? instruction.mnemonic).toLowerCase()
}

/** Every name that {@link mnemonicOf} can give for an instruction. */
export function mnemonicsOf(instruction: Instruction): string[] {
  const { mnemonic, title } = instruction
  const names = title?.split('/')
  const all = names && names.length > 1 ? names : (SIZED.get(mnemonic) ?? [mnemonic])
  return all.map(name => name.toLowerCase())
}

const hex = (value: bigint | number): string => `0x${value.toString(16)}`

/** A 64-bit value of halves, cut to bits. */
function join(low: number, high: number, bits: number): bigint {
  return BigInt.asUintN(bits, (BigInt(high) << 32n) | BigInt(low >>> 0))
}

/** The displacement as it is encoded, 64 bits signed: POP's operands with rSP as their base are decoded with the moved rSP. */
export function encodedDisplacement(decoded: Decoded): bigint {
  const value = (BigInt(decoded.displacementHigh) << 32n) | BigInt(decoded.displacement >>> 0)
  const moved = decoded.form.instruction.popsIntoMemory && decoded.base === RSP
  return moved ? value - BigInt(decoded.operandSize >> 3) : value
}

/** The vector of indices, and its scale, of a decoded VSIB operand. */
export function vectorIndexText({ form, vectorIndex, scale }: Decoded): string {
  const wide = form.operands.find(operand => operand.kind === 'vectorMemory')?.text.endsWith('y')
  return `${wide ? 'y' : 'x'}mm${vectorIndex}${scale ? `*${1 << scale}` : ''}`
}

function memoryText(decoded: Decoded, bits: number, nextRip: bigint): string {
  const { addressSize, base, index, scale } = decoded
  const displacement = encodedDisplacement(decoded)
  const parts: string[] = []
  let text: string
  if (base < NO_REGISTER) parts.push(registerName(base, addressSize))
  if (decoded.form.vectorIndex) parts.push(vectorIndexText(decoded))
  else if (index !== NO_REGISTER) parts.push(registerName(index, addressSize) + (scale ? `*${1 << scale}` : ''))
  if (parts.length) {
    text = parts.join('+')
    if (displacement !== 0n) text += displacement < 0n ? `-${hex(-displacement)}` : `+${hex(displacement)}`
  } else text = hex(BigInt.asUintN(addressSize, base === RIP_BASE ? nextRip + displacement : displacement))
  const segment = decoded.segmentOverride < 0 ? '' : `${SEGMENT_NAMES[decoded.segmentOverride]}:`
  return `${SIZE_NAMES[bits] ?? ''}${segment}[${text}]`
}

function operandText(decoded: Decoded, spec: OperandSpec, nextRip: bigint): string {
  const bits = operandWidth(spec, decoded.operandSize)
  const general = (number: number): string =>
    bits === 8 && isHighByte(decoded, number) ? HIGH_BYTES[number - 4] : registerName(number, bits)
  const vector = (number: number): string => `${bits === 256 ? 'y' : 'x'}mm${number}`
  switch (spec.kind) {
    case 'rm':
      return decoded.hasMemory ? memoryText(decoded, bits, nextRip) : general(decoded.rm)
    case 'rmRegister':
      return general(decoded.rm)
    case 'memory':
    case 'absolute':
    case 'vectorMemory':
      return memoryText(decoded, bits, nextRip)
    case 'reg':
      return general(decoded.reg)
    case 'opcodeRegister':
      return general(decoded.opcodeRegister)
    case 'register':
      return registerName(spec.number, bits)
    case 'immediate': {
      const second = decoded.form.operands.filter(o => o.kind === 'immediate').indexOf(spec) === 1
      return hex(second ? decoded.imm2 : join(decoded.immLow, decoded.immHigh, bits))
    }
    case 'one':
      return '1'
    case 'relative':
      return hex(BigInt.asUintN(decoded.operandSize, nextRip + join(decoded.immLow, decoded.immHigh, 64)))
    case 'farSelector':
      return `${hex(decoded.imm2)}:${hex(decoded.immLow >>> 0)}`
    case 'farOffset':
      return ''
    case 'segment':
      return SEGMENT_NAMES[decoded.reg]
    case 'fixedSegment':
      return SEGMENT_NAMES[spec.number]
    case 'control':
      return `cr${decoded.reg}`
    case 'debug':
      return `dr${decoded.reg}`
    case 'st':
      return 'st'
    case 'sti':
      return `st(${decoded.rm & 7})`
    case 'mmx':
      return `mm${decoded.reg & 7}`
    case 'mmxRm':
      return decoded.hasMemory ? memoryText(decoded, bits, nextRip) : `mm${decoded.rm & 7}`
    case 'mmxRegister':
      return `mm${decoded.rm & 7}`
    case 'xmm':
      return vector(decoded.reg)
    case 'xmmRm':
      return decoded.hasMemory ? memoryText(decoded, bits, nextRip) : vector(decoded.rm)
    case 'xmmRegister':
      return vector(decoded.rm)
    case 'vexXmm':
      return vector(decoded.vexRegister)
    case 'immediateXmm':
      return vector(decoded.immediateRegister)
    case 'vexRegister':
      return general(decoded.vexRegister)
    case 'xmm0':
      return 'xmm0'
  }
}

/** The operands' texts, in the order of the encoding. @param nextRip address of the instruction after it */
export function operandTexts(decoded: Decoded, nextRip: bigint): string[] {
  return decoded.form.operands.map(spec => operandText(decoded, spec, nextRip)).filter(part => part !== '')
}

/**
 * The text of a decoded instruction in Intel syntax, as in `lock add dword ptr fs:[rax+rcx*4-0x10], 0x12`.
 * @param rip address of the instruction, for the targets of jumps and RIP-relative operands
 */
export function disassemble(decoded: Decoded, rip: bigint): string {
  const { form } = decoded
  const nextRip = rip + BigInt(decoded.length)
  const { repeatable } = form.instruction
  let text = decoded.lock ? 'lock ' : ''
  if (decoded.repPrefix === 'rep') text += repeatable === 'repe/repne' ? 'repe ' : 'rep '
  else if (decoded.repPrefix === 'repne') text += 'repne '
  // An override on an instruction that names no memory (string source, XLAT) would not show otherwise.
  if (decoded.segmentOverride >= 0 && !decoded.hasMemory) text += `${SEGMENT_NAMES[decoded.segmentOverride]} `
  text += mnemonicOf(decoded)
  const operands = operandTexts(decoded, nextRip)
  return operands.length ? `${text} ${operands.join(', ')}` : text
}

/** Records from decoded instructions: which registers, displacement and immediates their handlers get. */
import { F } from '../../cpu/state.ts'
import { type Decoded, isHighByte } from '../../isa/decoder.ts'
import type { OperandSpec } from '../../isa/encoding.ts'
import * as R from './record.ts'

/** Memory 0, where records are. */
export interface RecordViews {
  readonly halves: Uint16Array
  readonly words: Int32Array
  readonly bytes: Uint8Array
}

/** Fills the record at an address in memory 0 from what was decoded, but for where the instruction ends. */
export function fillRecord({ halves, words, bytes }: RecordViews, at: number, handler: number, decoded: Decoded): void {
  halves[at >> 1] = handler
  bytes[at + R.RECORD_LENGTH] = decoded.length
  bytes[at + R.RECORD_SCALE] = decoded.scale
  const { operands } = decoded.form
  let reg = 0
  let rm = 0
  let opcode = 0
  for (let i = 0; i < operands.length; i++) {
    const spec = operands[i]
    switch (spec.kind) {
      case 'rm':
      case 'rmRegister':
        rm = gprPlace(decoded, spec, decoded.rm)
        break
      case 'mmxRm':
      case 'mmxRegister':
        rm = F.fpr.offset + (decoded.rm & 7) * F.fpr.stride
        break
      case 'xmmRm':
      case 'xmmRegister':
        rm = F.xmm.offset + decoded.rm * F.xmm.stride
        break
      case 'sti':
        rm = decoded.rm & 7
        break
      case 'reg':
        reg = gprPlace(decoded, spec, decoded.reg)
        break
      case 'mmx':
        reg = F.fpr.offset + (decoded.reg & 7) * F.fpr.stride
        break
      case 'xmm':
        reg = F.xmm.offset + decoded.reg * F.xmm.stride
        break
      case 'segment':
      case 'control':
      case 'debug':
        reg = decoded.reg
        break
      case 'opcodeRegister':
        opcode = gprPlace(decoded, spec, decoded.opcodeRegister)
        break
      case 'vexRegister':
        opcode = gprPlace(decoded, spec, decoded.vexRegister)
        break
      case 'vexXmm':
        opcode = F.xmm.offset + decoded.vexRegister * F.xmm.stride
        break
    }
  }
  halves[(at + R.RECORD_REG) >> 1] = reg
  halves[(at + R.RECORD_OPCODE_REGISTER) >> 1] = opcode
  if (decoded.hasMemory) {
    halves[(at + R.RECORD_RM) >> 1] = F.gpr.offset + decoded.base * 8
    halves[(at + R.RECORD_INDEX) >> 1] = decoded.form.vectorIndex
      ? F.xmm.offset + decoded.vectorIndex * F.xmm.stride
      : F.gpr.offset + decoded.index * 8
  } else {
    halves[(at + R.RECORD_RM) >> 1] = rm
    halves[(at + R.RECORD_INDEX) >> 1] = decoded.imm2
  }
  halves[(at + R.RECORD_SEGMENT) >> 1] = decoded.segment
  const word = at >> 2
  words[word + (R.RECORD_DISPLACEMENT >> 2)] = decoded.displacement
  words[word + (R.RECORD_DISPLACEMENT >> 2) + 1] = decoded.displacementHigh
  const named = decoded.form.immediates[0] === 'is4'
  words[word + (R.RECORD_IMMEDIATE >> 2)] = named
    ? F.xmm.offset + decoded.immediateRegister * F.xmm.stride
    : decoded.immLow
  words[word + (R.RECORD_IMMEDIATE >> 2) + 1] = decoded.immHigh
}

function gprPlace(decoded: Decoded, spec: OperandSpec, number: number): number {
  const byte = spec.size === 'b' && isHighByte(decoded, number)
  return byte ? F.gpr.offset + (number - 4) * 8 + 1 : F.gpr.offset + number * 8
}

/** Random cases: an instruction, and a state in which it does something worth looking at. */

import { immediateBytes, type Random, randomInstance } from '../../src/isa/assembler.ts'
import { DECODED, Decoded, type DecodeMode, type Decoder, NO_REGISTER, RIP_BASE } from '../../src/isa/decoder.ts'
import type { Form } from '../../src/isa/encoding.ts'
import {
  CODE,
  DATA,
  PAGE,
  RECORD_CODE,
  RECORD_FLAGS,
  RECORD_FLAGS_MASK,
  RECORD_GPR,
  RECORD_LENGTH,
  RECORD_MXCSR,
  RECORD_OFFSET,
  RECORD_WINDOW,
  RECORD_XMM,
  RECORD_YMM_HIGH,
  WINDOW,
} from './record.ts'

/** The modes that processes run in: 64-bit mode, and compatibility mode with 32-bit segments. */
export const MODES: Record<32 | 64, DecodeMode> = {
  32: { mode: 'compatibility', codeSize: 32, stackSize: 32 },
  64: { mode: 'long', codeSize: 64, stackSize: 64 },
}

const EDGES = [0n, 1n, 2n, 7n, 8n, 15n, 16n, 31n, 32n, 63n, 64n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn]
const WIDE_EDGES = [0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 1n << 32n, (1n << 63n) - 1n, 1n << 63n]

const random64 = (random: Random): bigint => (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32))

/** A number with something about it: an edge or its negative, or any. */
function value(random: Random): bigint {
  const kind = random(10)
  if (kind < 4) return random64(random)
  if (kind < 6) return random64(random) >> BigInt(random(64))
  const edge = kind < 9 ? EDGES[random(EDGES.length)] : WIDE_EDGES[random(WIDE_EDGES.length)]
  return BigInt.asUintN(64, random(3) ? edge : -edge)
}

/** An address in the windows, often where an access crosses into the next page or into nothing. */
function address(random: Random): number {
  const near = random(3) ? random(24) - 16 : random(WINDOW) - WINDOW / 2
  if (random(8) === 0) return DATA + random(8)
  return random(4) ? DATA + PAGE + near : DATA + 2 * PAGE - 1 - Math.abs(near)
}

/** Fills one record with a case of a form. @returns the decoded instruction, or undefined when the form has none there. */
export function makeCase(
  record: DataView,
  form: Form,
  bits: 32 | 64,
  decoder: Decoder,
  random: Random,
): Decoded | undefined {
  const mode = MODES[bits]
  const code = randomInstance(form, { mode, prefixes: true }, random)
  const decoded = new Decoded()
  if (decoder.decode(code, 0, code.length, mode, decoded) !== DECODED) return undefined
  // Now and then the instruction crosses into the second page.
  const offset = random(4) ? 256 + random(1024) : PAGE - 1 - random(14)
  if (decoded.base === RIP_BASE) {
    aimFromRip(code, decoded, CODE + offset, address(random))
    if (decoder.decode(code, 0, code.length, mode, decoded) !== DECODED) return undefined
  }
  // FS and GS have bases of their own in a process.
  if (decoded.segment >= 4) return undefined

  const at = record.byteOffset
  const bytes = new Uint8Array(record.buffer, at, record.byteLength)
  bytes.fill(0)
  bytes.set(code, RECORD_CODE)
  record.setUint32(RECORD_LENGTH, code.length, true)
  record.setUint32(RECORD_OFFSET, offset, true)

  const gpr: bigint[] = Array.from({ length: 16 }, () => (random(4) ? value(random) : BigInt(address(random))))
  // What strings, stacks and tables are reached through.
  for (const register of [4, 6, 7]) if (random(8)) gpr[register] = BigInt(address(random))
  for (const register of [3, 5]) if (random(2)) gpr[register] = BigInt(address(random))
  if (decoded.repPrefix !== 'none' && random(16)) gpr[1] = BigInt(random(20))
  if (decoded.hasMemory && random(16)) aim(decoded, gpr, BigInt(address(random)), random)
  const size = bits === 32 ? 32 : 64
  gpr.forEach((v, i) => {
    record.setBigUint64(RECORD_GPR + i * 8, bits === 32 && i >= 8 ? 0n : BigInt.asUintN(size, v), true)
  })
  record.setBigUint64(RECORD_FLAGS, BigInt(random(0x1000) & RECORD_FLAGS_MASK), true)
  record.setUint32(RECORD_MXCSR, 0x1f80, true)
  for (let i = 0; i < 256; i += 8) record.setBigUint64(RECORD_XMM + i, value(random), true)
  for (let i = 0; i < 256; i += 8) record.setBigUint64(RECORD_YMM_HIGH + i, value(random), true)
  if (decoded.form.vectorIndex) setIndices(record, decoded, random)
  if (bits === 32) {
    bytes.fill(0, RECORD_XMM + 128, RECORD_XMM + 256)
    bytes.fill(0, RECORD_YMM_HIGH + 128, RECORD_YMM_HIGH + 256)
  }
  for (let i = 0; i < WINDOW; i += 8) record.setBigUint64(RECORD_WINDOW + i, value(random), true)
  return decoded
}

/** Gives the vector register of indices small numbers, so that elements lie around the base; some lie far away. */
function setIndices(record: DataView, decoded: Decoded, random: Random): void {
  const wide = /GATHERQ/.test(decoded.form.instruction.mnemonic)
  for (const start of [RECORD_XMM, RECORD_YMM_HIGH]) {
    for (let i = 0; i < 16; i += wide ? 8 : 4) {
      const at = start + decoded.vectorIndex * 16 + i
      const index = random(16) ? random(64) - 32 : random(2 ** 31)
      if (wide) record.setBigInt64(at, BigInt(index), true)
      else record.setInt32(at, index, true)
    }
  }
}

/** Changes a RIP-relative displacement to meet the target: the code's own surroundings are no place to write to. */
function aimFromRip(code: Uint8Array, decoded: Decoded, rip: number, target: number): void {
  const { form, operandSize, addressSize } = decoded
  const immediates = form.immediates.reduce((sum, kind) => sum + immediateBytes(kind, operandSize, addressSize), 0)
  new DataView(code.buffer).setInt32(code.length - immediates - 4, target - rip - code.length, true)
}

/** Gives the base (or else the index) register a value that makes the address the one wanted. */
function aim(decoded: Decoded, gpr: bigint[], target: bigint, random: Random): void {
  const { base, index, scale, displacement, addressSize } = decoded
  if (base === RIP_BASE) return
  if (index !== NO_REGISTER && random(4)) gpr[index] = BigInt.asIntN(16, gpr[index])
  const scaled = (register: bigint) => BigInt.asIntN(addressSize, register) << BigInt(scale)
  let wanted: bigint
  let register = base
  if (base === NO_REGISTER) {
    if (index === NO_REGISTER) return
    register = index
    wanted = (target - BigInt(displacement)) >> BigInt(scale)
  } else {
    if (index === base) return
    wanted = target - BigInt(displacement) - (index === NO_REGISTER ? 0n : scaled(gpr[index]))
  }
  // What lies above a narrow address must not matter.
  const above = addressSize === 64 ? 0n : (gpr[register] >> BigInt(addressSize)) << BigInt(addressSize)
  gpr[register] = BigInt.asUintN(64, above | BigInt.asUintN(addressSize, wanted))
}

/** Whether execution that stopped at `rip` went into the instruction itself, where the native run would go on. */
export function insideInstruction(record: DataView, rip: bigint): boolean {
  const start = BigInt(CODE + record.getUint32(RECORD_OFFSET, true))
  return rip >= start && rip < start + BigInt(record.getUint32(RECORD_LENGTH, true))
}

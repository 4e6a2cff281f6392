/** Single bits, bit scans, byte order and CRC (SDM vol. 2, BSF BSR BSWAP BT BTC BTR BTS CRC32 POPCNT). */
import { type Instruction, instruction } from './definition.ts'
import { type Int, type MemoryOperand, type Operand, routine, type Semantics } from './semantics.ts'

/** The operand in which the bit lies, and the bit's number in it. */
function locate(m: Semantics, base: Operand, offset: Operand): { place: Operand; number: Int } {
  const { width } = base
  const index = offset.read()
  const number = index.resize(width).and(width - 1)
  // A register's value may name a bit far from a memory operand, in both directions; an immediate does not.
  if (base.kind !== 'memory' || offset.kind !== 'register') return { place: base, number }
  const units = index.sar(Math.log2(width))
  const { addressSize } = m.context
  const distance = units.width < addressSize ? units.signExtend(addressSize) : units.truncate(addressSize)
  return { place: (base as MemoryOperand).at(distance.shl(Math.log2(width / 8)), width), number }
}

/** BT and its kin change CF only: the others are undefined but for ZF, and hardware leaves them. */
const bitTest = (mnemonic: string, opcode: string, extension: number, change?: (value: Int, mask: Int) => Int) =>
  instruction(mnemonic, {
    encodings: [`0F ${opcode} /r  Ev,Gv`, `0F BA /${extension} ib  Ev,Ib`],
    lockable: change !== undefined,
    execute(m, base, offset) {
      const { place, number } = locate(m, base, offset)
      const value = place.read()
      if (change) place.write(change(value, m.const(1, value.width).shl(number)))
      m.flags.set({ carry: value.shr(number).bit(0) })
    },
  })

export const BT = bitTest('BT', 'A3', 4)
export const BTS = bitTest('BTS', 'AB', 5, (value, mask) => value.or(mask))
export const BTR = bitTest('BTR', 'B3', 6, (value, mask) => value.and(mask.not()))
export const BTC = bitTest('BTC', 'BB', 7, (value, mask) => value.xor(mask))

/**
 * BSF and BSR. With a source of 0 all of the destination stays (the upper half of a 64-bit register too), as AMD documents
 * and Intel does. Of the undefined flags CF, OF, SF and AF are cleared and PF is the result's, as on AMD's processors.
 */
const bitScan = (mnemonic: string, opcode: string, scan: (value: Int) => Int): Instruction =>
  instruction(mnemonic, {
    encodings: [`0F ${opcode} /r  Gv,Ev`],
    execute(m, destination, source) {
      const value = source.read()
      const none = value.isZero()
      const position = scan(value)
      m.if(none.isZero(), () => destination.write(position))
      // Bit 8 makes the result nonzero and does not touch its parity.
      m.flags.setLogic(none.select(m.const(0, value.width), position.or(0x100)))
    },
  })

export const BSF = bitScan('BSF', 'BC', value => value.ctz())
export const BSR = bitScan('BSR', 'BD', value => value.clz().xor(value.width - 1))

export const POPCNT = instruction('POPCNT', {
  encodings: ['F3 0F B8 /r  Gv,Ev'],
  feature: 'popcnt',
  execute(m, destination, source) {
    const value = source.read()
    destination.write(value.popcnt())
    const no = m.bool(false)
    m.flags.set({ zero: value.isZero(), sign: no, parity: no, adjust: no, carry: no, overflow: no })
  },
})

/** The bytes of a value in the opposite order. */
export function byteSwap(value: Int): Int {
  if (value.width === 16) return value.rotl(8)
  const swapPairs = (bits: number, mask: bigint): void => {
    value = value.shr(bits).and(mask).or(value.and(mask).shl(bits))
  }
  if (value.width === 32) return value.rotl(8).and(0x00ff00ffn).or(value.rotr(8).and(0xff00ff00n))
  swapPairs(8, 0x00ff00ff00ff00ffn)
  swapPairs(16, 0x0000ffff0000ffffn)
  return value.rotl(32)
}

/** With 16-bit operands it is undefined: processors clear the register's low half. */
export const BSWAP = instruction('BSWAP', {
  encodings: ['0F C8+r  Zv'],
  execute(m, destination) {
    destination.write(destination.width === 16 ? m.const(0, 16) : byteSwap(destination.read()))
  },
})

/** CRC-32C of `count` bytes of data, lowest first, on top of a checksum (polynomial 11EDC6F41, bits reflected). */
export const crc32c = routine('crc32c', [32, 64, 32], 32, (code, checksum, data, count) => {
  const crc = code.variable(32, checksum)
  const rest = code.variable(64, data)
  const left = code.variable(32, count)
  code.while(
    () => left.value.isNonZero(),
    () => {
      let value = crc.value.xor(rest.value.truncate(32).and(0xff))
      for (let bit = 0; bit < 8; bit++) value = value.shr(1).xor(value.and(1).neg().and(0x82f63b78))
      crc.value = value
      rest.value = rest.value.shr(8)
      left.value = left.value.sub(1)
    },
  )
  return crc.value
})

export const CRC32 = instruction('CRC32', {
  encodings: ['F2 0F 38 F0 /r  Gy,Eb', 'F2 0F 38 F1 /r  Gy,Ev'],
  feature: 'sse4_2',
  execute(m, destination, source) {
    const count = m.const(source.width / 8, 32)
    const checksum = m.call(crc32c, destination.read().truncate(32), source.read().zeroExtend(64), count)
    destination.write(checksum.zeroExtend(destination.width))
  },
})

export const instructions: readonly Instruction[] = [BT, BTS, BTR, BTC, BSF, BSR, POPCNT, BSWAP, CRC32]

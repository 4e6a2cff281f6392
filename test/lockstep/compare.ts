/** What two processors that should be equal differ in. */
import { F, FIELDS, type Field } from '../../src/cpu/state.ts'
import type { Vcpu } from '../../src/cpu/vcpu.ts'
import { FRAME_DIRTY, FRAME_PRESENT, FRAME_SIZE, type PhysicalMemory } from '../../src/memory/physical.ts'

/** Fields that are an engine's own business, or stand for others that are compared. */
const PRIVATE: ReadonlySet<Field> = new Set([
  ...[F.nextRip, F.flagResult, F.flagCarries, F.flagAdjust, F.flagKind, F.flagA, F.flagB],
  ...[F.x87Operand, F.x87Flags, F.serviceResult, F.serviceResult2, F.budget, F.scratch],
  ...[F.faultVector, F.faultErrorCode, F.epoch, F.translatedInstructions, F.simdExceptions, F.activity],
  ...[F.heldStart, F.heldSize, F.heldPlace],
])

/** The words of the state that are compared, in ranges of 32-bit words. */
const RANGES: readonly [first: number, end: number, field: Field][] = FIELDS.filter(f => !PRIVATE.has(f)).flatMap(f => {
  const words = { i32: 1, i64: 2, v128: 4 }[f.type]
  if (f.stride === words * 4) {
    return [[f.offset >> 2, (f.offset + f.count * f.stride) >> 2, f] as [number, number, Field]]
  }
  // Only the registers of the x87 are apart: all but the last 6 bytes of each 16 count, and those are never written.
  return [[f.offset >> 2, (f.offset + f.count * f.stride) >> 2, f] as [number, number, Field]]
})

/** Whether two processors are equal in all that a guest could see, memory aside. */
export function sameProcessor(a: Vcpu, b: Vcpu): boolean {
  const x = a.state.i32
  const y = b.state.i32
  for (const [first, end] of RANGES) {
    for (let i = first; i < end; i++) if (x[i] !== y[i]) return false
  }
  return a.rflags === b.rflags && a.instructions === b.instructions
}

const hex = (value: bigint | number): string => (typeof value === 'bigint' ? value : value >>> 0).toString(16)

/** The differences, a line each: field, its value in `a`, its value in `b`. */
export function processorDifferences(a: Vcpu, b: Vcpu): string[] {
  const lines: string[] = []
  const note = (name: string, x: bigint | number, y: bigint | number) => {
    if (x !== y) lines.push(`${name}: ${hex(x)} and ${hex(y)}`)
  }
  for (const [first, , field] of RANGES) {
    for (let i = 0; i < field.count; i++) {
      const name = field.count > 1 ? `${field.name}[${i}]` : field.name
      const at = first + ((i * field.stride) >> 2)
      const wide = (v: Vcpu, word: number) => (BigInt(v.state.u32[word + 1]) << 32n) | BigInt(v.state.u32[word])
      if (field.type === 'i32') note(name, a.state.u32[at], b.state.u32[at])
      else note(name, wide(a, at), wide(b, at))
      if (field.stride === 16) note(`${name} high`, wide(a, at + 2), wide(b, at + 2))
    }
  }
  note('rflags', a.rflags, b.rflags)
  if (a.instructions !== b.instructions) lines.push(`instructions: ${a.instructions} and ${b.instructions}`)
  const [x, y] = [a.saveExtra(), b.saveExtra()]
  if (JSON.stringify(x) !== JSON.stringify(y)) lines.push(`extra: ${JSON.stringify(x)} and ${JSON.stringify(y)}`)
  return lines
}

/** Guest-physical frames with different contents, at most `most`. Frames never written since the start are passed over. */
export function differentFrames(a: PhysicalMemory, b: PhysicalMemory, most = 16): number[] {
  const found: number[] = []
  for (let frame = 0; frame < a.frameCount && found.length < most; frame++) {
    const x = a.frames[frame]
    const y = b.frames[frame]
    if (!(x & FRAME_PRESENT) || !((x | y) & FRAME_DIRTY)) continue
    if (!sameFrame(a, b, frame)) found.push(frame)
  }
  return found
}

/** Whether a frame has the same contents. */
export function sameFrame(a: PhysicalMemory, b: PhysicalMemory, frame: number): boolean {
  const x = (a.frames[frame] & ~0xfff) >>> 0
  const y = (b.frames[frame] & ~0xfff) >>> 0
  return Buffer.compare(a.ram.subarray(x, x + FRAME_SIZE), b.ram.subarray(y, y + FRAME_SIZE)) === 0
}

/** The first and how many bytes differ in a frame, for people. */
export function frameDifference(a: PhysicalMemory, b: PhysicalMemory, frame: number): string {
  const x = (a.frames[frame] & ~0xfff) >>> 0
  const y = (b.frames[frame] & ~0xfff) >>> 0
  let first = -1
  let count = 0
  for (let i = 0; i < FRAME_SIZE; i++) {
    if (a.ram[x + i] === b.ram[y + i]) continue
    if (first < 0) first = i
    count++
  }
  const bytes = (m: PhysicalMemory, at: number) =>
    Buffer.from(m.ram.subarray(at + (first & ~7), at + (first & ~7) + 16)).toString('hex')
  const address = frame * FRAME_SIZE + (first & ~7)
  return `${count} bytes of the frame at ${hex(frame * FRAME_SIZE)} differ; at ${hex(address)}: ${bytes(a, x)} and ${bytes(b, y)}`
}

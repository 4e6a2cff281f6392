/** The stack and the flags as an image (SDM vol. 2, ENTER LEAVE POP POPA POPF PUSH PUSHA PUSHF). */
import * as S from '../cpu/state.ts'
import { F, RBP, RSP, SS } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import { refreshMode } from './privilege.ts'
import { GP, type Int, type MemoryOperand, type Operand, type Semantics } from './semantics.ts'

export const PUSH = instruction('PUSH', {
  encodings: ['50+r d64  Zv', '68 iz d64  sIz', '6A ib d64  sIb', 'FF /6 d64  Ev'],
  execute(m, source) {
    m.push(source.read())
  },
})

/** POP into a register. For POP rSP the popped value stays, not the moved pointer. */
export const POP = instruction('POP', {
  encodings: ['58+r d64  Zv', '8F /0 reg d64  Ev'],
  execute(m, destination) {
    const value = m.peek(destination.width)
    m.drop(destination.width / 8)
    destination.write(value)
  },
})

/** POP into memory: an address with rSP as its base is computed from the pointer as it is after the pop. */
export const POP_MEMORY = instruction<[MemoryOperand]>('POP', {
  encodings: ['8F /0 mem d64  Ev'],
  popsIntoMemory: true,
  execute(m, destination) {
    destination.write(m.peek(destination.width))
    m.drop(destination.width / 8)
  },
})

/** The place on the stack `bytes` below its top, without moving the pointer. */
const below = (m: Semantics, pointer: Int, bytes: number): Operand =>
  m.memory(SS, pointer.sub(bytes), m.context.operandSize)

export const PUSHA = instruction<[]>('PUSHA', {
  encodings: ['60 i64'],
  execute(m) {
    const { operandSize, stackSize } = m.context
    const bytes = operandSize / 8
    const pointer = m.register(RSP, stackSize).read()
    // The pointer moves last: a fault halfway leaves nothing behind but bytes below the stack's top.
    for (let i = 0; i < 8; i++) below(m, pointer, (i + 1) * bytes).write(m.register(i, operandSize).read())
    m.register(RSP, stackSize).write(pointer.sub(8 * bytes))
  },
})

export const POPA = instruction<[]>('POPA', {
  encodings: ['61 i64'],
  execute(m) {
    const { operandSize } = m.context
    const bytes = operandSize / 8
    const values: Int[] = []
    for (let i = 7; i >= 0; i--) values[i] = m.peek(operandSize, (7 - i) * bytes)
    m.drop(8 * bytes)
    for (let i = 0; i < 8; i++) if (i !== RSP) m.register(i, operandSize).write(values[i])
  },
})

export const ENTER = instruction('ENTER', {
  encodings: ['C8 iw ib d64  Iw,Ib'],
  execute(m, allocation, nesting) {
    const { operandSize, stackSize } = m.context
    const bytes = operandSize / 8
    const level = nesting.read().and(31)
    const frame = m.register(RSP, stackSize).read().sub(bytes)
    // With 32-bit operands on a 16-bit stack the frame is all of ESP, of which only SP has moved.
    const whole = stackSize === 16 && operandSize === 32
    const frameTemp = whole
      ? m.register(RSP, 32).read().and(0xffff0000).or(frame.zeroExtend(32))
      : frame.resize(operandSize)
    // As in PUSHA, both pointers move when nothing can fault any more.
    m.memory(SS, frame, operandSize).write(m.register(RBP, operandSize).read())
    const display = m.variable(stackSize, m.register(RBP, stackSize).read())
    const top = m.variable(stackSize, frame)
    const push = (value: Int) => {
      top.value = top.value.sub(bytes)
      m.memory(SS, top.value, operandSize).write(value)
    }
    const build = () => {
      const left = m.variable(8, level)
      m.while(
        () => left.value.gtU(1),
        () => {
          display.value = display.value.sub(bytes)
          push(m.memory(SS, display.value, operandSize).read())
          left.value = left.value.sub(1)
        },
      )
      push(frameTemp)
    }
    if (level.constant === undefined) m.if(level.isNonZero(), build)
    else if (level.constant !== 0n) build()
    const end = top.value.sub(allocation.read().zeroExtend(stackSize))
    // The manual: a page fault is raised if a write at the final pointer would raise one.
    m.memory(SS, end, operandSize).probeWrite(bytes)
    m.register(RBP, operandSize).write(frameTemp)
    m.register(RSP, stackSize).write(end)
  },
})

export const LEAVE = instruction<[]>('LEAVE', {
  encodings: ['C9 d64'],
  execute(m) {
    const { operandSize, stackSize } = m.context
    const frame = m.register(RBP, stackSize).read()
    const value = m.memory(SS, frame, operandSize).read()
    m.register(RSP, stackSize).write(frame.add(operandSize / 8))
    m.register(RBP, operandSize).write(value)
  },
})

/**
 * PUSHF and POPF in virtual-8086 mode are the monitor's affair (#GP) unless IOPL is 3, or CR4.VME gives the 16-bit forms a flag
 * of the program's own, VIF, for IF (SDM vol. 3, 21.3). @returns whether it is VIF; undefined where it never is
 */
function checkVirtual8086(m: Semantics): Int | undefined {
  if (m.context.mode !== 'virtual-8086') return undefined
  const within = m.get(F.systemFlags).and(S.IOPL).eq(S.IOPL)
  if (m.context.operandSize !== 16) {
    m.raiseIf(within.not(), GP, 0)
    return undefined
  }
  m.raiseIf(within.or(m.get(F.cr4).bit(0)).not(), GP, 0)
  return within.not()
}

/** VIF in an image is bit 19, IF bit 9. */
const VIF_TO_IF = 10

export const PUSHF = instruction<[]>('PUSHF', {
  encodings: ['9C d64'],
  execute(m) {
    const virtualized = checkVirtual8086(m)
    const image = m.flags.readImage()
    const size = m.context.operandSize
    if (size !== 16) m.push(image.and(~(S.VM | S.RF) >>> 0).resize(size))
    else if (!virtualized) m.push(image.truncate(16))
    else {
      const own = image
        .and(~S.IF >>> 0)
        .or(image.shr(VIF_TO_IF).and(S.IF))
        .or(S.IOPL)
      m.push(virtualized.select(own, image).truncate(16))
    }
  },
})

export const POPF = instruction<[]>('POPF', {
  encodings: ['9D d64'],
  endsBlock: true,
  execute(m) {
    const virtualized = checkVirtual8086(m)
    const { mode, operandSize } = m.context
    const popped = m.peek(operandSize).resize(32)
    const low = S.ARITHMETIC_FLAGS | S.TF | S.IF | S.DF | S.IOPL | S.NT
    // RF is always cleared; VM, VIF and VIP never change, but for VIF in the place of IF.
    let mask = operandSize === 16 ? low : low | S.RF | S.AC | S.ID
    const now = m.get(F.systemFlags)
    let kept = m.const(0, 32)
    let own = m.const(0, 32)
    if (virtualized) {
      const interruptible = popped.and(S.IF).isNonZero()
      const pending = interruptible.and(now.and(S.VIP).isNonZero())
      m.raiseIf(virtualized.and(pending.or(popped.and(S.TF).isNonZero())), GP, 0)
      kept = virtualized.select(m.const(S.IOPL | S.IF, 32), S.IOPL)
      own = virtualized.select(popped.and(S.IF).shl(VIF_TO_IF), now.and(S.VIF))
      mask |= S.VIF
    } else if (mode === 'virtual-8086') kept = m.const(S.IOPL, 32)
    else if (mode !== 'real') {
      const level = m.privilegeLevel
      const allowed = level.leU(now.bits(12, 2))
      kept = level.isZero().select(kept, allowed.select(m.const(S.IOPL, 32), S.IOPL | S.IF))
    }
    const image = popped
      .and(~(S.RF | S.VIF) >>> 0)
      .and(kept.not())
      .or(now.and(kept))
      .or(own)
    m.drop(operandSize / 8)
    m.flags.writeImage(image, mask)
    // TF and AC are part of the mode.
    m.if(
      image
        .xor(now)
        .and(S.TF | S.AC)
        .isNonZero(),
      () => m.call(refreshMode),
    )
    m.endBlock()
  },
})

export const instructions: readonly Instruction[] = [PUSH, POP, POP_MEMORY, PUSHA, POPA, ENTER, LEAVE, PUSHF, POPF]

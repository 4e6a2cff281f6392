/** Widening (SDM vol. 2, CBW/CWDE/CDQE, CWD/CDQ/CQO, MOVSX/MOVSXD, MOVZX). */
import { RDX } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import type { Width } from './semantics.ts'

export const MOVZX = instruction('MOVZX', {
  encodings: ['0F B6 /r  Gv,Eb', '0F B7 /r  Gv,Ew'],
  execute(_m, destination, source) {
    destination.write(source.read().zeroExtend(destination.width))
  },
})

export const MOVSX = instruction('MOVSX', {
  encodings: ['0F BE /r  Gv,Eb', '0F BF /r  Gv,Ew'],
  execute(_m, destination, source) {
    destination.write(source.read().signExtend(destination.width))
  },
})

export const MOVSXD = instruction('MOVSXD', {
  encodings: ['63 /r o64  Gv,Ed'],
  feature: 'lm',
  execute(_m, destination, source) {
    const value = source.read()
    destination.write(destination.width === 16 ? value.truncate(16) : value.signExtend(destination.width))
  },
})

/** AL to AX, AX to EAX, EAX to RAX by operand size. */
export const CBW = instruction<[]>('CBW', {
  title: 'CBW/CWDE/CDQE',
  encodings: ['98'],
  execute(m) {
    const to = m.context.operandSize
    const half = m.accumulator((to / 2) as Width).read()
    m.accumulator(to).write(half.signExtend(to))
  },
})

/** The sign of AX, EAX or RAX to all of DX, EDX or RDX. */
export const CWD = instruction<[]>('CWD', {
  title: 'CWD/CDQ/CQO',
  encodings: ['99'],
  execute(m) {
    const size = m.context.operandSize
    m.register(RDX, size).write(
      m
        .accumulator()
        .read()
        .sar(size - 1),
    )
  },
})

export const instructions: readonly Instruction[] = [MOVZX, MOVSX, MOVSXD, CBW, CWD]

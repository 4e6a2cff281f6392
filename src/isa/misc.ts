/** Nothing, hints, fences, undefined opcodes and BOUND (SDM vol. 2). */
import { type Instruction, instruction } from './definition.ts'
import { BR, type MemoryOperand, type Operand, UD } from './semantics.ts'

/** The space of hints, 0F 18 to 0F 1F and 0F 0D with memory, but for prefetches: nothing is done, nor the memory named touched. */
const hints = (): string[] => {
  const whole = ['19', '1A', '1B', '1C', '1D', '1E', '1F'].map(opcode => `0F ${opcode} /r  Ev`)
  const prefetches = [0, 1, 2, 3].map(hint => `0F 18 /${hint} reg  Ev`)
  const others = [4, 5, 6, 7].map(hint => `0F 18 /${hint}  Ev`)
  const exclusive = [0, 2, 3, 4, 5, 6, 7].map(hint => `0F 0D /${hint} mem  Ev`)
  return [...whole, ...prefetches, ...others, ...exclusive]
}

export const NOP = instruction<Operand[]>('NOP', { encodings: ['90', ...hints()], execute() {} })

export const PAUSE = instruction<[]>('PAUSE', { encodings: ['F3 90'], execute() {} })

/** Prefetches, by their hint. They never fault. */
export const PREFETCH: readonly Instruction[] = ['PREFETCHNTA', 'PREFETCHT0', 'PREFETCHT1', 'PREFETCHT2'].map(
  (mnemonic, hint) => instruction(mnemonic, { encodings: [`0F 18 /${hint} mem  Mb`], feature: 'sse', execute() {} }),
)

export const PREFETCHW = instruction('PREFETCHW', {
  encodings: ['0F 0D /1 mem  Mb'],
  feature: '3dnowprefetch',
  execute() {},
})

const fence = (mnemonic: string, extension: number, feature: string): Instruction =>
  instruction<[]>(mnemonic, { encodings: [`NP 0F AE /${extension} reg`], feature, execute() {} })

export const LFENCE = fence('LFENCE', 5, 'sse2')
export const MFENCE = fence('MFENCE', 6, 'sse2')
export const SFENCE = fence('SFENCE', 7, 'sse')

/** Checked as a load of a byte. */
export const CLFLUSH = instruction<[MemoryOperand]>('CLFLUSH', {
  encodings: ['NP 0F AE /7 mem  Mb'],
  feature: 'clflush',
  execute(_m, line) {
    line.read()
  },
})

export const BOUND = instruction<[Operand, MemoryOperand]>('BOUND', {
  encodings: ['62 /r mem i64  Gv,M'],
  execute(m, index, bounds) {
    const { width } = index
    const value = index.read()
    const lower = bounds.at(0, width).read()
    const upper = bounds.at(width / 8, width).read()
    m.raiseIf(value.ltS(lower).or(value.gtS(upper)), BR)
  },
})

/** Opcodes that are undefined for good. UD0 and UD1 have a ModRM byte, which counts to their length. */
const undefinedOpcode = (mnemonic: string, encoding: string): Instruction =>
  instruction<Operand[]>(mnemonic, { encodings: [encoding], execute: m => m.raise(UD) })

export const UD0 = undefinedOpcode('UD0', '0F FF /r  Gv,Ev')
export const UD1 = undefinedOpcode('UD1', '0F B9 /r  Gv,Ev')
export const UD2 = undefinedOpcode('UD2', '0F 0B')

export const instructions: readonly Instruction[] = [
  NOP,
  PAUSE,
  ...PREFETCH,
  PREFETCHW,
  LFENCE,
  MFENCE,
  SFENCE,
  CLFLUSH,
  BOUND,
  UD0,
  UD1,
  UD2,
]

/** Time-stamp and performance counters (SDM vol. 2, RDPMC RDTSC RDTSCP). */
import { type Instruction, instruction } from './definition.ts'
import { GP } from './semantics.ts'

export const RDTSC = instruction<[]>('RDTSC', {
  encodings: ['0F 31'],
  feature: 'tsc',
  execute(m) {
    m.service('readTimestamp')
  },
})

export const RDTSCP = instruction<[]>('RDTSCP', {
  encodings: ['0F 01 /7 /rm1'],
  feature: 'rdtscp',
  execute(m) {
    m.service('readTimestampAndProcessor')
  },
})

/** There are no performance counters: every number is a wrong one. */
export const RDPMC = instruction<[]>('RDPMC', { encodings: ['0F 33'], execute: m => m.raise(GP, 0) })

export const instructions: readonly Instruction[] = [RDTSC, RDTSCP, RDPMC]

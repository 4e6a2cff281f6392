/** `typetwo isa`'s options and manual. */
import type { CommandDescription } from './command.ts'

const options = {
  critical: {
    help: 'Lists only the instructions that are sensitive and do not trap in user mode, with what they read and change: those that keep this processor from being virtualised by trapping alone.',
  },
} as const

/** Its description. */
export const ISA: CommandDescription<typeof options> = {
  name: 'isa',
  summary: 'lists the instruction set of the virtual processor',
  options,
  description: [
    "Prints every instruction that is defined: mnemonic, CPUID feature, privilege, class, and its encodings in the manual's notation (src/isa/definition.ts explains it).",
    "The class is Popek and Goldberg's, found by building each definition against a recorder of the state that it reads and changes. Privileged: it traps in user mode. Control sensitive: it changes state that decides over resources. Behaviour sensitive: its result depends on such state. Innocuous: neither.",
  ],
}

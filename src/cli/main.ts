/** Where `bin/typetwo` begins: the real process as a {@link CommandHost}, and its end. */
import { ensureDefaultGuest } from '../hosts/node/default-guest.ts'
import { ensureFirmware } from '../hosts/node/firmware.ts'
import { openVariables } from '../hosts/node/variables.ts'
import type { CommandHost } from './host.ts'
import { program } from './program.ts'

const host: CommandHost = {
  // Standard input is touched only when it is used: a closed one would be an error at start otherwise.
  get stdin() {
    return process.stdin
  },
  stdout: process.stdout,
  stderr: process.stderr,
  events: process,
  environment: process.env,
  availableMemory: () => process.availableMemory(),
  suspend: () => process.kill(process.pid, 'SIGSTOP'),
  createMachine: async request => {
    const { Machine } = await import('../hosts/node/machine.ts')
    return Machine.create(request)
  },
  defaultGuest: report => ensureDefaultGuest({ report }),
  variables: openVariables,
  firmware: (name, report) => ensureFirmware(name, { report }),
}

// Not process.exitCode: an open standard input or a guest's thread must not keep the process.
process.exit(await program(process.argv.slice(2), host))

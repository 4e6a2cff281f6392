/** Where `bin/typetwo` begins: the real process as a {@link CommandHost}, and its end. */
import { nodeWorker } from '../hosts/node/node-worker.ts'
import { isBackground, nodeControl } from './control-host.ts'
import type { CommandHost } from './host.ts'

// The thread of a machine that is to run loads what it needs while this one looks at the command line and reads files.
const here = process.argv[2] === 'run' && (isBackground(process.env) || !process.argv.includes('--detach'))
let early = here ? nodeWorker() : undefined

/** That thread for the first machine, others for more. */
function worker() {
  const made = early ?? nodeWorker()
  early = undefined
  return made
}

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
  control: nodeControl(process.env),
  createMachine: async request => {
    const { Machine } = await import('../hosts/node/machine.ts')
    return Machine.create({ ...request, worker })
  },
  defaultGuest: async report => {
    const { ensureDefaultGuest } = await import('../hosts/node/default-guest.ts')
    return ensureDefaultGuest({ report })
  },
  openSerial: async (place, note) => {
    const { openSerialLine } = await import('../hosts/node/serial-line.ts')
    return openSerialLine(place, note)
  },
  openDisplay: async (place, note) => {
    const { openDisplay } = await import('../hosts/node/display/index.ts')
    return openDisplay(place, note)
  },
  variables: async (...parameters) => {
    const { openVariables } = await import('../hosts/node/variables.ts')
    return openVariables(...parameters)
  },
  firmware: async (name, report) => {
    const { ensureFirmware } = await import('../hosts/node/firmware.ts')
    return ensureFirmware(name, { report })
  },
}

const { program } = await import('./program.ts')
// Not process.exitCode: an open standard input or a guest's thread must not keep the process.
process.exit(await program(process.argv.slice(2), host))

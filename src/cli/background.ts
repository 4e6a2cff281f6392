/** A machine in the background: this program once more, in a session of its own. */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync, renameSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { checkMachineName, type Environment, machineLog, makeMachineFolder } from '../hosts/node/machine-folder.ts'
import { STATUS } from './ending.ts'

/** How long what a machine said is kept when nothing is added to it: milliseconds. */
const LOG_LIFE = 7 * 24 * 3_600_000

/** How long what a process has said takes to arrive when the process has ended: milliseconds. */
const LAST_WORD = 200

/**
 * Starts it, and waits until its machine runs. What it says goes to a log beside its control socket; what it said when it could not
 * start appears on this process's standard error.
 * @param name of the machine; undefined for one that is made up
 * @throws UserError where the folder of running machines cannot be used
 */
export async function startInBackground(
  name: string | undefined,
  environment: Environment,
): Promise<{ name: string } | { status: number }> {
  if (name !== undefined) checkMachineName(name)
  const folder = await makeMachineFolder(environment)
  // It gets its machine's name when it has it for sure.
  const path = machineLog(folder, `.${process.pid}`)
  const log = openSync(path, 'w', 0o600)
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', 'ignore', log, 'ipc'],
    env: { ...environment, TYPETWO_BACKGROUND: '1' },
  })
  closeSync(log)
  const outcome = await new Promise<{ name: string } | { status: number }>(resolve => {
    child.on('message', message => resolve(message as { name: string }))
    child.on('error', () => resolve({ status: STATUS.failed }))
    child.on('exit', code => {
      // Its name may be on the way, if its guest was very quick.
      setTimeout(() => resolve({ status: code ?? STATUS.failed }), LAST_WORD)
    })
  })
  if ('name' in outcome) {
    renameSync(path, machineLog(folder, outcome.name))
    removeOldLogs(folder)
    if (child.connected) child.disconnect()
    child.unref()
    return outcome
  }
  process.stderr.write(readFileSync(path))
  unlinkSync(path)
  return outcome
}

/** Removes logs that nothing was added to for a week, so that machines with names that are made up leave nothing for ever. */
function removeOldLogs(folder: string): void {
  for (const name of readdirSync(folder).filter(name => name.endsWith('.log'))) {
    const path = join(folder, name)
    try {
      if (Date.now() - statSync(path).mtimeMs > LOG_LIFE) unlinkSync(path)
    } catch {
      // Somebody else did.
    }
  }
}

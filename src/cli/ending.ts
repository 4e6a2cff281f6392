/** How a run ended, as the exit status and the sentence a person or a script sees. */
import type { MachineEnd } from '../index.ts'

/** The exit statuses of `typetwo`. A debug exit of the guest ends with the status the guest chose. */
export const STATUS = {
  /** The guest turned its power off, or the person quit. */
  ok: 0,
  /** typetwo could not do what was asked. */
  failed: 1,
  /** The words on the command line were wrong. */
  usage: 2,
  /** The guest reset the machine, under `--no-reboot`. */
  reset: 3,
  /** The guest's processor shut down by a triple fault. */
  tripleFault: 4,
  /** To which the number of a signal is added. */
  signal: 128,
  /** Nobody read standard output any more, as after SIGPIPE. */
  brokenPipe: 141,
} as const

/** A status and, unless all went as asked, a sentence for standard error. */
export interface Ending {
  status: number
  sentence?: string
}

/**
 * What to tell of a machine's end.
 * @param panic what the guest's kernel said on its console when it gave up, if it did
 */
export function endingOf(end: MachineEnd, panic?: string): Ending {
  const details = end.message ? `: ${end.message}` : panic ? `, after its kernel said '${panic}'` : ''
  switch (end.reason) {
    case 'poweroff':
    case 'destroyed':
      return { status: STATUS.ok }
    case 'reset':
      return {
        status: STATUS.reset,
        sentence: `the guest reset the machine, which --no-reboot makes its end${details}`,
      }
    case 'triple-fault':
      return { status: STATUS.tripleFault, sentence: `the guest's processor shut down by a triple fault${details}` }
    case 'debug-exit':
      return { status: (end.code ?? STATUS.failed) & 0xff }
    case 'error':
      return { status: STATUS.failed, sentence: end.message ?? 'the machine failed without saying why' }
  }
}

/** What ends a command from outside: signals, and a reader of standard output who leaves. */
import { type Ending, STATUS } from './ending.ts'
import type { CommandHost } from './host.ts'
import type { Output } from './streams.ts'

/** The signals that end a command, with their numbers; see signal(7). */
export const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

/**
 * Watches for the end of a command.
 * @returns the first thing that ends it, and a function by which anything else can
 */
export function watchForEnd(host: CommandHost, output: Output): { ending: Promise<Ending>; end(ending: Ending): void } {
  const { promise: ending, resolve: end } = Promise.withResolvers<Ending>()
  for (const [signal, number] of Object.entries(SIGNALS))
    host.events.on(signal, () => end({ status: STATUS.signal + number, sentence: `ended by ${signal}` }))
  output.broken.then(error =>
    end(
      error.code === 'EPIPE'
        ? { status: STATUS.brokenPipe }
        : { status: STATUS.failed, sentence: `standard output cannot be written (${error.message})` },
    ),
  )
  return { ending, end }
}

/** Says what is left to say. @returns the exit status */
export function part({ status, sentence }: Ending, host: CommandHost): number {
  if (sentence) host.stderr.write(`typetwo: ${sentence}\n`)
  return status
}

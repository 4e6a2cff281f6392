/** The commands there are. To add one: its description, and how it is run. */
import type { CommandDescription, OptionDescriptions, OptionValues } from './command.ts'
import type { CommandHost } from './host.ts'
import { ISA } from './isa-options.ts'
import { RUN } from './run-options.ts'

/** A command that can be run. */
export interface Command {
  description: CommandDescription
  /** Runs it; the exit status. What it needs is loaded now and not when another command starts. */
  run(options: Readonly<Record<string, string | true | undefined>>, host: CommandHost): Promise<number>
}

/** Keeps the options' types together with the function that takes them. */
function command<Options extends OptionDescriptions>(
  description: CommandDescription<Options>,
  run: (options: OptionValues<Options>, host: CommandHost) => Promise<number>,
): Command {
  return { description, run: (options, host) => run(options as OptionValues<Options>, host) }
}

/** In the order of the manual. */
export const COMMANDS: readonly Command[] = [
  command(RUN, async (options, host) => (await import('./run.ts')).run(options, host)),
  command(ISA, async (options, host) => (await import('./isa.ts')).listIsa(options, host)),
]

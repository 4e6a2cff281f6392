/** The commands there are. To add one: its description, and how it is run. */
import type { CommandDescription, OptionDescriptions, OptionValues } from './command.ts'
import { CONSOLE, EJECT, INFO, INSERT, LS, PAUSE, POWER, RESUME } from './control-options.ts'
import { DISK_CHECK, DISK_CONVERT, DISK_CREATE, DISK_INFO, DISK_RESIZE, DISK_SNAPSHOT } from './disk-options.ts'
import type { CommandHost } from './host.ts'
import { ISA } from './isa-options.ts'
import { RUN } from './run-options.ts'
import { MOUSE, SCREEN, SCREENSHOT, SEND_KEYS, TYPE } from './screen-options.ts'

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
  command(LS, async (options, host) => (await import('./machines.ts')).list(options, host)),
  command(CONSOLE, async (options, host) => (await import('./console.ts')).attach(options, host)),
  command(INFO, async (options, host) => (await import('./machines.ts')).info(options, host)),
  command(EJECT, async (options, host) => (await import('./control.ts')).eject(options, host)),
  command(INSERT, async (options, host) => (await import('./control.ts')).insert(options, host)),
  command(POWER, async (options, host) => (await import('./control.ts')).power(options, host)),
  command(PAUSE, async (options, host) => (await import('./control.ts')).pause(options, host)),
  command(RESUME, async (options, host) => (await import('./control.ts')).resume(options, host)),
  command(SCREENSHOT, async (options, host) => (await import('./screen-commands.ts')).screenshot(options, host)),
  command(SCREEN, async (options, host) => (await import('./screen-commands.ts')).screenText(options, host)),
  command(TYPE, async (options, host) => (await import('./screen-commands.ts')).type(options, host)),
  command(SEND_KEYS, async (options, host) => (await import('./screen-commands.ts')).sendKeys(options, host)),
  command(MOUSE, async (options, host) => (await import('./screen-commands.ts')).mouse(options, host)),
  command(ISA, async (options, host) => (await import('./isa.ts')).listIsa(options, host)),
  command(DISK_CREATE, async (options, host) => (await import('./disk.ts')).create(options, host)),
  command(DISK_INFO, async (options, host) => (await import('./disk.ts')).info(options, host)),
  command(DISK_CONVERT, async (options, host) => (await import('./disk-convert.ts')).convert(options, host)),
  command(DISK_CHECK, async (options, host) => (await import('./disk.ts')).check(options, host)),
  command(DISK_RESIZE, async (options, host) => (await import('./disk.ts')).resize(options, host)),
  command(DISK_SNAPSHOT, async (options, host) => (await import('./disk.ts')).snapshot(options, host)),
]

/** What the commands do whose names begin with the same word. */
export const GROUPS: Readonly<Record<string, string>> = {
  disk: 'makes, converts, checks and changes disk images',
}

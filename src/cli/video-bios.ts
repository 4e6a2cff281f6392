/** `--vga`, and the BIOS that a display adapter needs. */
import { readWhole } from '../hosts/node/index.ts'
import { type CommandHost, say } from './host.ts'
import { Progress } from './progress.ts'

/** What decides whether there is an adapter and how it gets its BIOS. */
export interface VideoOptions {
  vga?: string
  bios?: string
  uefi?: string
}

/**
 * The BIOS of the display adapter, for firmware that is no UEFI, which brings its own drivers.
 * @param firmware the machine starts in firmware; a kernel that is loaded directly gets a text mode and the BIOS's font
 * @returns a function that reads it, or undefined where there is nothing to read
 * @throws UserError where SeaBIOS is to run, of whose package it is, and cannot be had
 */
export async function readVideoBios(
  options: VideoOptions,
  host: CommandHost,
  firmware: boolean,
): Promise<(() => Promise<Uint8Array>) | undefined> {
  if (options.vga === 'none' || options.uefi !== undefined) return undefined
  const progress = new Progress(host.stderr)
  try {
    const [, std, virtio] = await host.firmware('seabios', (text, fraction) => progress.show(text, fraction))
    const path = options.vga === 'virtio' ? virtio : std
    return path === undefined ? undefined : () => readWhole(path, "the display adapter's BIOS")
  } catch (error) {
    // Firmware of the user's own may do without, and so may a kernel.
    if (firmware && (options.bios === undefined || options.bios === 'seabios')) throw error
    say(host, `the screen may stay dark, because the display adapter has no BIOS: ${(error as Error).message}`)
    return undefined
  } finally {
    progress.done()
  }
}

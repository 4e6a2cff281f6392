/** Opens displays by what was asked for. */
import type { Display } from './display.ts'
import type { VncOptions } from './vnc.ts'

/** A way to see a machine from elsewhere. */
export type DisplayPlace = { kind: 'vnc' } & VncOptions

/**
 * Opens one.
 * @param note tells a person what happens to it
 * @throws UserError when it cannot be had
 */
export async function openDisplay(place: DisplayPlace, note: (sentence: string) => void): Promise<Display> {
  const { openVnc } = await import('./vnc.ts')
  return openVnc(place, note)
}

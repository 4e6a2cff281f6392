/** Opens displays by what was asked for. */
import type { Display } from './display.ts'
import type { VncOptions } from './vnc.ts'
import type { WebOptions } from './web.ts'

/** A way to see a machine from elsewhere. */
export type DisplayPlace = ({ kind: 'vnc' } & VncOptions) | ({ kind: 'web' } & WebOptions)

/**
 * Opens one.
 * @param note tells a person what happens to it
 * @throws UserError when it cannot be had
 */
export async function openDisplay(place: DisplayPlace, note: (sentence: string) => void): Promise<Display> {
  if (place.kind === 'vnc') {
    const { openVnc } = await import('./vnc.ts')
    return openVnc(place, note)
  }
  const { openWeb } = await import('./web.ts')
  return openWeb(place, note)
}

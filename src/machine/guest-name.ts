/** A name for what a guest starts from, by which code of earlier runs is found. Whether it fits is asked of every region. */
import type { Images, MachineConfiguration } from './messages.ts'

/** So far apart are the bytes of a kernel that are looked at. */
const STRIDE = 61

/**
 * Eight hexadecimal digits; undefined where nothing should be kept: whoever lists the code that is translated wants to see it translated.
 */
export function guestName({ drives, listCode, machine }: MachineConfiguration, images: Images): string | undefined {
  if (listCode) return undefined
  let hash = 0x811c9dc5
  const add = (value: number) => {
    hash = Math.imul(hash ^ (value & 0xff), 0x01000193)
  }
  for (const file of [images.kernel, images.kernel ? undefined : images.firmware]) {
    if (!file) continue
    for (let i = 0; i < 32; i += 8) add(file.length >>> i)
    for (let i = 0; i < file.length; i += STRIDE) add(file[i])
  }
  if (!images.kernel) {
    const text = JSON.stringify([machine, drives], (_, value) => (ArrayBuffer.isView(value) ? undefined : value))
    for (let i = 0; i < text.length; i++) add(text.charCodeAt(i))
  }
  return (hash >>> 0).toString(16).padStart(8, '0')
}

/** The value of `--boot`. */
import { BOOT_DEVICES, type BootDevice } from '../machine/cmos.ts'
import type { BootOptions } from '../machine/messages.ts'
import { UsageError } from './command.ts'

/** The letters that other virtual machines call the devices. */
const LETTERS: Record<string, BootDevice> = { a: 'floppy', c: 'disk', d: 'cdrom', n: 'network' }
/** As many kinds of devices as firmware can be told. */
const MOST = 3

/**
 * Understands `order=cdrom:disk,menu=on`.
 * @throws UsageError with one sentence for anything else
 */
export function parseBoot(text: string): BootOptions {
  const refuse = (reason: string) => new UsageError(`--boot ${text}: ${reason}, as in --boot order=cdrom:disk,menu=on`)
  const boot: { order?: readonly BootDevice[]; menu?: boolean } = {}
  for (const part of text.split(',')) {
    const [, name, value] = /^([^=]*)=(.*)$/.exec(part) ?? [undefined, part, undefined]
    if (value === undefined) throw refuse(`'${part}' is not order=… or menu=on`)
    if (name === 'menu') {
      if (value !== 'on' && value !== 'off') throw refuse(`menu is on or off, not '${value}'`)
      boot.menu = value === 'on'
    } else if (name === 'order') {
      const words = /^[acdn]+$/.test(value) ? [...value].map(letter => LETTERS[letter]) : value.split(':')
      for (const word of words)
        if (!(BOOT_DEVICES as readonly string[]).includes(word))
          throw refuse(`there is no device '${word}', but ${BOOT_DEVICES.join(', ')} with colons between them`)
      if (new Set(words).size !== words.length || words.length > MOST)
        throw refuse(`the order has at most ${MOST} devices, each once`)
      boot.order = words as BootDevice[]
    } else throw refuse(`there is no '${name}', only order and menu`)
  }
  return boot
}

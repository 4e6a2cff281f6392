/** `--sound`: what becomes of a machine's sound, and what it is made with. */
import { SOUND_DEVICES, type SoundDevice } from '../machine/sound.ts'
import { UsageError } from './command.ts'
import { commaWords, hint } from './words.ts'

/** Where sound goes. */
export interface SoundChoice {
  /** The WAV file that is made. */
  path: string
  /** What the guest has to make it with. */
  devices: readonly SoundDevice[]
}

/** What may follow the path. */
const CARDS: Record<string, readonly SoundDevice[]> = {
  sb16: ['speaker', 'sb16'],
  ac97: ['speaker', 'ac97'],
  all: SOUND_DEVICES,
}

/**
 * Understands `none` and `wav:FILE[,sb16|ac97|all]`. A comma that is part of the path is written twice.
 * @returns undefined for none
 * @throws UsageError naming what is wrong
 */
export function parseSound(text = 'none'): SoundChoice | undefined {
  if (text === 'none') return undefined
  const refuse = (reason: string) => new UsageError(`--sound '${text}': ${reason}`)
  const [, rest] = /^wav:(.*)$/s.exec(text) ?? []
  if (rest === undefined) throw refuse('give none or wav:FILE')
  const [path, card = 'all', ...more] = commaWords(rest)
  if (path === '') throw refuse('the path of a file comes first, as in wav:sound.wav')
  if (!Object.hasOwn(CARDS, card))
    throw refuse(`there is no card '${card}'; ${hint(card, Object.keys(CARDS))} (a comma in the path is written twice)`)
  if (more.length > 0) throw refuse(`one card is named, so '${more[0]}' is too much`)
  return { path, devices: CARDS[card] }
}

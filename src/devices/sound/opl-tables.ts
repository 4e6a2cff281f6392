/** What a YMF262 has in its ROMs, as formulas: it computes with logarithms, and turns them into amplitudes at the end. */

/** A quarter of a sine, 256 points, as −log2 in 256ths. */
const LOG_SINE = Uint16Array.from({ length: 256 }, (_, i) =>
  Math.round(-Math.log2(Math.sin(((i + 0.5) * Math.PI) / 512)) * 256),
)
/** 2 to the power of what is missing to a whole number, in 256ths: 11 bits. */
const POWER = Uint16Array.from({ length: 256 }, (_, i) => Math.round(2 ** ((255 - i) / 256) * 1024))

/** A logarithm that is silence. */
const SILENT = 0x1000
/** Sign of a wave's negative half. */
const NEGATIVE = 0x8000

/** Points of a period. */
export const PERIOD = 1024

/** The eight waves as logarithms with a sign, one after another ("YMF262 Application Manual", wave select). */
const WAVES = Uint16Array.from({ length: 8 * PERIOD }, (_, i) => waveAt(i >> 10, i % PERIOD))

function sineAt(phase: number): number {
  return LOG_SINE[phase & 0x100 ? 255 - (phase & 255) : phase & 255]
}

function waveAt(wave: number, phase: number): number {
  const second = phase >= PERIOD / 2
  switch (wave) {
    case 0:
      return sineAt(phase) | (second ? NEGATIVE : 0)
    case 1:
      return second ? SILENT : sineAt(phase)
    case 2:
      return sineAt(phase)
    case 3:
      return phase & 0x100 ? SILENT : sineAt(phase)
    case 4:
      // A whole sine in the first half.
      return second ? SILENT : sineAt(phase * 2) | (phase & 0x100 ? NEGATIVE : 0)
    case 5:
      return second ? SILENT : sineAt(phase * 2)
    case 6:
      return second ? NEGATIVE : 0
    default:
      // Falls by 2 to the power of the phase.
      return second ? ((PERIOD - 1 - phase) << 3) | NEGATIVE : phase << 3
  }
}

/**
 * A sample of a wave, −4084 to 4084.
 * @param phase 0 to 1023, taken modulo that
 * @param attenuation in steps of 3/16 dB, 0 to 511
 */
export function waveSample(wave: number, phase: number, attenuation: number): number {
  const entry = WAVES[(wave << 10) | (phase & (PERIOD - 1))]
  const logarithm = (entry & 0x7fff) + (attenuation << 3)
  const amplitude = logarithm >= SILENT ? 0 : (POWER[logarithm & 255] << 1) >> (logarithm >> 8)
  return entry & NEGATIVE ? -amplitude : amplitude
}

/** Multiples of a channel's frequency, doubled. */
export const MULTIPLES: readonly number[] = [1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 20, 24, 24, 30, 30]

/** Attenuation of high notes at 6 dB an octave, by the four high bits of the frequency number, for the highest block: 3/4 dB. */
const KEY_SCALE: readonly number[] = [0, 32, 40, 45, 48, 51, 53, 55, 56, 58, 59, 60, 61, 62, 63, 64]
/** By how much that is shifted: none, 3 dB, 1.5 dB, 6 dB an octave. */
const KEY_SCALE_SHIFT: readonly number[] = [31, 1, 2, 0]

/** The attenuation of a note in steps of 3/16 dB. @param level register 40h's bits 7 and 6 */
export function keyScaleLevel(frequency: number, block: number, level: number): number {
  return Math.max(0, (KEY_SCALE[frequency >> 6] << 2) - ((8 - block) << 5)) >> KEY_SCALE_SHIFT[level]
}

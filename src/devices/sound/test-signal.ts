/** What tests do with samples: listen through a mixer, and find out which tones there are. */
import type { ManualClock } from '../test-bus.ts'
import { SAMPLE_RATE, SoundMixer } from './mixer.ts'

/** A mixer that somebody listens to, and all that was heard, from time 0 on. */
export class TestListener {
  readonly mixer: SoundMixer
  /** Frames that were heard: their number, and samples. */
  readonly pieces: { frame: number; samples: Int16Array }[] = []

  constructor(clock: ManualClock) {
    this.mixer = new SoundMixer(clock, (frame, samples) => this.pieces.push({ frame, samples }))
    this.mixer.listen(true)
  }

  /** One channel from frame `from` on, full scale 1; silence where nothing was handed on. */
  channel(from: number, frames: number, channel = 0): Float64Array {
    const heard = new Float64Array(frames)
    for (const { frame, samples } of this.pieces)
      for (let i = 0; i < samples.length / 2; i++) {
        const at = frame + i - from
        if (at >= 0 && at < frames) heard[at] = samples[2 * i + channel] / 32767
      }
    return heard
  }
}

/** The samples under a Hann window. */
const windowed = (samples: Float64Array): Float64Array =>
  samples.map((value, i) => value * (1 - Math.cos((2 * Math.PI * i) / samples.length)))

/** Goertzel's algorithm. */
function goertzel(samples: Float64Array, hertz: number): number {
  const coefficient = 2 * Math.cos((2 * Math.PI * hertz) / SAMPLE_RATE)
  let last = 0
  let before = 0
  for (let i = 0; i < samples.length; i++) {
    const value = samples[i] + coefficient * last - before
    before = last
    last = value
  }
  return (2 * Math.sqrt(Math.max(0, last * last + before * before - coefficient * last * before))) / samples.length
}

/** The amplitude of the tone of so many hertz, with a Hann window. */
export function amplitude(samples: Float64Array, hertz: number): number {
  return goertzel(windowed(samples), hertz)
}

/** The strongest tone from 40 Hz on, to half a hertz. */
export function strongest(samples: Float64Array, highest = 5000): number {
  const look = (part: Float64Array, from: number, to: number, step: number) => {
    let [best, most] = [0, 0]
    for (let hertz = from; hertz <= to; hertz += step) {
      const found = goertzel(part, hertz)
      if (found > most) [best, most] = [hertz, found]
    }
    return best
  }
  const near = look(windowed(samples.subarray(0, 9600)), 40, highest, 5)
  return look(windowed(samples), near - 5, near + 5, 0.5)
}

/** What is left of a sine when the best fitting one of its frequency is taken away: the largest sample. Gaps and clicks show there. */
export function residue(samples: Float64Array, hertz: number): number {
  const { length } = samples
  const omega = (2 * Math.PI * hertz) / SAMPLE_RATE
  let [cc, cs, ss, xc, xs] = [0, 0, 0, 0, 0]
  for (let i = 0; i < length; i++) {
    const c = Math.cos(omega * i)
    const s = Math.sin(omega * i)
    cc += c * c
    cs += c * s
    ss += s * s
    xc += samples[i] * c
    xs += samples[i] * s
  }
  const determinant = cc * ss - cs * cs
  const a = (xc * ss - xs * cs) / determinant
  const b = (xs * cc - xc * cs) / determinant
  let most = 0
  for (let i = 0; i < length; i++)
    most = Math.max(most, Math.abs(samples[i] - a * Math.cos(omega * i) - b * Math.sin(omega * i)))
  return most
}

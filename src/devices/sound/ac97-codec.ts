/** The mixer and rate registers of an AC'97 codec (Intel, "Audio Codec '97", revision 2.3, chapter 5). */

/** Registers by their offset. */
export const CODEC = {
  RESET: 0x00,
  MASTER_VOLUME: 0x02,
  PCM_OUT_VOLUME: 0x18,
  POWERDOWN: 0x26,
  EXTENDED_AUDIO_ID: 0x28,
  EXTENDED_AUDIO_STATUS: 0x2a,
  PCM_FRONT_DAC_RATE: 0x2c,
  PCM_LR_ADC_RATE: 0x32,
  MIC_ADC_RATE: 0x34,
  VENDOR_ID1: 0x7c,
  VENDOR_ID2: 0x7e,
} as const

/** What can be written of each; registers that are not here are zero and stay so. */
const WRITABLE = new Map<number, number>([
  [CODEC.MASTER_VOLUME, 0x9f1f],
  [0x04, 0x9f1f], // headphones
  [0x06, 0x801f], // mono
  [0x0a, 0x801e], // PC beep
  [0x0c, 0x801f], // phone
  [0x0e, 0x805f], // microphone
  [0x10, 0x9f1f], // line in
  [0x12, 0x9f1f], // CD
  [0x14, 0x9f1f], // video
  [0x16, 0x9f1f], // aux
  [CODEC.PCM_OUT_VOLUME, 0x9f1f],
  [0x1a, 0x0707], // record select
  [0x1c, 0x8f0f], // record gain
  [0x20, 0xb380], // general purpose
  [CODEC.POWERDOWN, 0xff00],
])
const INITIAL = new Map<number, number>([
  [CODEC.MASTER_VOLUME, 0x8000],
  [0x04, 0x8000],
  [0x06, 0x8000],
  [0x0c, 0x8008],
  [0x0e, 0x8008],
  [0x10, 0x8808],
  [0x12, 0x8808],
  [0x14, 0x8808],
  [0x16, 0x8808],
  [CODEC.PCM_OUT_VOLUME, 0x8808],
  [0x1c, 0x8000],
  // ADC, DAC, analogue mixer and references are ready.
  [CODEC.POWERDOWN, 0x000f],
  [CODEC.EXTENDED_AUDIO_ID, 0x0009],
  [CODEC.PCM_FRONT_DAC_RATE, 48000],
  [CODEC.PCM_LR_ADC_RATE, 48000],
  [CODEC.MIC_ADC_RATE, 48000],
  // SigmaTel's STAC9700.
  [CODEC.VENDOR_ID1, 0x8384],
  [CODEC.VENDOR_ID2, 0x7600],
])
/** Variable rate audio, for PCM and for the microphone. */
const VRA = 1
const VRM = 8
const FIXED_RATE = 48000
const SLOWEST = 8000
const FASTEST = 48000
const MUTE = 0x8000

/** The registers after a reset, by offset / 2. */
export function initialCodec(): number[] {
  return Array.from({ length: 64 }, (_, i) => INITIAL.get(2 * i) ?? 0)
}

/** Writes a register. @returns whether it is one that can be written */
export function writeCodec(registers: number[], offset: number, value: number): boolean {
  if (offset === CODEC.RESET) {
    for (const [i, initial] of initialCodec().entries()) registers[i] = initial
    return true
  }
  if (offset === CODEC.EXTENDED_AUDIO_STATUS) {
    registers[offset >> 1] = value & (VRA | VRM)
    const back = (bit: number, rates: number[]) => {
      if ((value & bit) === 0) for (const rate of rates) registers[rate >> 1] = FIXED_RATE
    }
    back(VRA, [CODEC.PCM_FRONT_DAC_RATE, CODEC.PCM_LR_ADC_RATE])
    back(VRM, [CODEC.MIC_ADC_RATE])
    return true
  }
  if (offset === CODEC.PCM_FRONT_DAC_RATE || offset === CODEC.PCM_LR_ADC_RATE || offset === CODEC.MIC_ADC_RATE) {
    const bit = offset === CODEC.MIC_ADC_RATE ? VRM : VRA
    if (registers[CODEC.EXTENDED_AUDIO_STATUS >> 1] & bit)
      registers[offset >> 1] = Math.min(FASTEST, Math.max(SLOWEST, value))
    return true
  }
  const writable = WRITABLE.get(offset)
  if (writable === undefined) return false
  const register = registers[offset >> 1]
  registers[offset >> 1] = (register & ~writable) | (value & writable)
  return true
}

/** How loud what is played comes out on the left and on the right, 1 as it is: master volume and PCM volume. */
export function loudness(registers: readonly number[]): [left: number, right: number] {
  const master = registers[CODEC.MASTER_VOLUME >> 1]
  const pcm = registers[CODEC.PCM_OUT_VOLUME >> 1]
  if ((master | pcm) & MUTE) return [0, 0]
  // Steps of 1.5 dB: down from 0 for the master, from +12 for PCM.
  const gain = (shift: number) => 10 ** ((1.5 * (8 - ((pcm >> shift) & 31) - ((master >> shift) & 31))) / 20)
  return [gain(8), gain(0)]
}

/** The mixer CT1745 of a Sound Blaster 16 (Creative, "Sound Blaster Series Hardware Programming Guide", chapter 4). */

/** Registers by their index. */
const RESET = 0x00
const VOICE_SBPRO = 0x04
const STEREO_SBPRO = 0x0e
const MASTER_SBPRO = 0x22
const MIDI_SBPRO = 0x26
const CD_SBPRO = 0x28
const LINE_SBPRO = 0x2e
const MASTER = 0x30
const VOICE = 0x32
const MIDI = 0x34
const CD = 0x36
const LINE = 0x38
const INTERRUPT_SELECT = 0x80
const DMA_SELECT = 0x81
const INTERRUPT_STATUS = 0x82

/** A Sound Blaster Pro's registers of two nibbles, and the pairs that they stand for. */
const NIBBLES = new Map([
  [VOICE_SBPRO, VOICE],
  [MASTER_SBPRO, MASTER],
  [MIDI_SBPRO, MIDI],
  [CD_SBPRO, CD],
  [LINE_SBPRO, LINE],
])
/** Bits that are kept, by index. */
const WRITABLE = new Map<number, number>([
  [0x0a, 0x07],
  [STEREO_SBPRO, 0x22],
  ...Array.from({ length: 11 }, (_, i): [number, number] => [MASTER + i, 0xf8]),
  [0x3b, 0xc0],
  [0x3c, 0x1f],
  [0x3d, 0x7f],
  [0x3e, 0x7f],
  ...[0x3f, 0x40, 0x41, 0x42].map((index): [number, number] => [index, 0xc0]),
  [0x43, 0x01],
  ...[0x44, 0x45, 0x46, 0x47].map((index): [number, number] => [index, 0xf0]),
])
const STEREO = 2
/** IRQs by bit of the interrupt select register. */
const IRQS = [9, 5, 7, 10] as const
/** The IRQs that it can be set to. */
export const SB16_IRQS: readonly number[] = IRQS
/** Above this both volumes together are as loud as there is: the card's amplifier. */
const AMPLIFIER = 16

/** The mixer's registers. */
export interface SbMixerState {
  index: number
  registers: number[]
}

/** The mixer after power-up: IRQ 5, DMA 1 and 5. */
export function initialSbMixer(): SbMixerState {
  const state = { index: 0, registers: new Array<number>(256).fill(0) }
  state.registers[INTERRUPT_SELECT] = 2
  state.registers[DMA_SELECT] = 0x22
  reset(state.registers)
  return state
}

function reset(registers: number[]): void {
  for (let i = 0; i < INTERRUPT_SELECT; i++) registers[i] = 0
  for (let i = MASTER; i < CD; i++) registers[i] = 24 << 3
  registers[0x3c] = 0x1f
  registers[0x3d] = 0x15
  registers[0x3e] = 0x0b
  for (let i = 0x44; i < 0x48; i++) registers[i] = 0x80
}

/** Reads the register that is selected. @param interrupts bits 0 and 1: what the DSP asks for */
export function readSbMixer({ index, registers }: SbMixerState, interrupts: number): number {
  if (index === INTERRUPT_STATUS) return interrupts
  const pair = NIBBLES.get(index)
  if (pair !== undefined) return (registers[pair] & 0xf0) | (registers[pair + 1] >> 4)
  return registers[index]
}

/** Writes the register that is selected. @returns whether there is such */
export function writeSbMixer({ index, registers }: SbMixerState, value: number): boolean {
  const pair = NIBBLES.get(index)
  const writable = WRITABLE.get(index)
  if (index === RESET) reset(registers)
  else if (pair !== undefined) {
    registers[pair] = (value & 0xf0) | 8
    registers[pair + 1] = ((value << 4) & 0xf0) | 8
  } else if (index === INTERRUPT_SELECT) registers[index] = value & 0x0f
  else if (index === DMA_SELECT) registers[index] = value & 0xeb
  else if (writable !== undefined) registers[index] = value & writable
  else return index === INTERRUPT_STATUS
  return true
}

/** The IRQ that is selected, undefined for none. */
export function selectedIrq({ registers }: SbMixerState): number | undefined {
  return IRQS.find((_, bit) => registers[INTERRUPT_SELECT] & (1 << bit))
}

/** The DMA channel that is selected for samples of 8 or 16 bits, undefined for none. Without one for 16 bits they take the other. */
export function selectedDma({ registers }: SbMixerState, bits: 8 | 16): number | undefined {
  const select = registers[DMA_SELECT]
  const channels = bits === 16 && select & 0xe0 ? [5, 6, 7] : [0, 1, 3]
  return channels.find(channel => select & (1 << channel))
}

/** A Sound Blaster Pro's stereo, for commands that do not say it themselves. */
export function isStereo({ registers }: SbMixerState): boolean {
  return (registers[STEREO_SBPRO] & STEREO) !== 0
}

/** How loud voice or synthesiser come out on the left and on the right: steps of 2 dB. */
export function sbLoudness({ registers }: SbMixerState, source: 'voice' | 'midi'): [left: number, right: number] {
  const first = source === 'voice' ? VOICE : MIDI
  const gain = (side: 0 | 1) => {
    const steps = (registers[first + side] >> 3) + (registers[MASTER + side] >> 3) - 62
    return Math.min(1, 10 ** ((2 * steps + AMPLIFIER) / 20))
  }
  return [gain(0), gain(1)]
}

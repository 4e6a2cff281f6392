/** The commands of a Sound Blaster 16's DSP, version 4.05 ("Sound Blaster Series Hardware Programming Guide", chapter 6). */

import type { AdpcmBits } from './sb-adpcm.ts'

/** What a command transfers by DMA. */
export interface SbTransfer {
  bits: 8 | 16
  stereo: boolean
  signed: boolean
  /** It begins again at its end. */
  automatic: boolean
  /** The guest records. */
  input: boolean
  /** Bytes of ADPCM: bits of a sample, and whether the next byte is a sample of 8 bits, from which the others go on. */
  adpcm?: { bits: AdpcmBits; reference: boolean }
}

/** Parameters that follow commands that have some, in bytes; by the number of the command. */
const PARAMETERS = new Map<number, number>([
  [0x04, 1],
  [0x05, 2],
  [0x0e, 2],
  [0x0f, 1],
  [0x10, 1],
  [0x14, 2],
  [0x15, 2],
  [0x16, 2],
  [0x17, 2],
  [0x24, 2],
  [0x38, 1],
  [0x40, 1],
  [0x41, 2],
  [0x42, 2],
  [0x48, 2],
  [0x74, 2],
  [0x75, 2],
  [0x76, 2],
  [0x77, 2],
  [0x80, 2],
  [0xe0, 1],
  [0xe2, 1],
  [0xe4, 1],
  ...Array.from({ length: 32 }, (_, i): [number, number] => [0xb0 + i, 3]),
])

/** How many bytes of parameters follow a command. */
export function parametersOf(command: number): number {
  return PARAMETERS.get(command) ?? 0
}

/** The commands that transfer by DMA samples of 8 bits without a sign, in the way of older cards. */
const PLAIN = new Map<number, { automatic: boolean; input: boolean }>([
  [0x14, { automatic: false, input: false }],
  [0x15, { automatic: false, input: false }],
  [0x91, { automatic: false, input: false }],
  [0x1c, { automatic: true, input: false }],
  [0x90, { automatic: true, input: false }],
  [0x24, { automatic: false, input: true }],
  [0x99, { automatic: false, input: true }],
  [0x2c, { automatic: true, input: true }],
  [0x98, { automatic: true, input: true }],
])

/** What a command of older cards transfers; undefined if it is none of them. */
export function plainTransfer(command: number, stereo: boolean): SbTransfer | undefined {
  const found = PLAIN.get(command)
  return found && { bits: 8, stereo, signed: false, ...found }
}

/** What a command Bxh or Cxh transfers. @param mode its first parameter */
export function sb16Transfer(command: number, mode: number): SbTransfer {
  return {
    bits: command < 0xc0 ? 16 : 8,
    stereo: (mode & 0x20) !== 0,
    signed: (mode & 0x10) !== 0,
    automatic: (command & 4) !== 0,
    input: (command & 8) !== 0,
  }
}

/** The commands that play ADPCM: bits of a sample, and whether the first byte is a sample of 8 bits. */
const ADPCM = new Map<number, { bits: AdpcmBits; reference: boolean; automatic: boolean }>([
  [0x16, { bits: 2, reference: false, automatic: false }],
  [0x17, { bits: 2, reference: true, automatic: false }],
  [0x1f, { bits: 2, reference: true, automatic: true }],
  [0x74, { bits: 4, reference: false, automatic: false }],
  [0x75, { bits: 4, reference: true, automatic: false }],
  [0x76, { bits: 3, reference: false, automatic: false }],
  [0x77, { bits: 3, reference: true, automatic: false }],
  [0x7d, { bits: 4, reference: true, automatic: true }],
  [0x7f, { bits: 3, reference: true, automatic: true }],
])

/** What a command plays of ADPCM; undefined if it is none of them. */
export function adpcmTransfer(command: number): SbTransfer | undefined {
  const found = ADPCM.get(command)
  if (!found) return undefined
  const { bits, reference, automatic } = found
  return { bits: 8, stereo: false, signed: false, automatic, input: false, adpcm: { bits, reference } }
}

/** What command E3h gives. */
export const COPYRIGHT = 'COPYRIGHT (C) CREATIVE TECHNOLOGY LTD, 1992.\0'
/** What command E1h gives: 4.05. */
export const VERSION = [4, 5] as const

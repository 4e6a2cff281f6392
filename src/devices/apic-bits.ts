/** 256-bit registers of the local APIC (IRR, ISR, TMR) and what travels between APICs. */

/** Delivery modes of the ICR, the LVT, I/O APIC entries and messages (SDM volume 3, 11.5.1). */
export const DELIVERY = { FIXED: 0, LOWEST_PRIORITY: 1, SMI: 2, NMI: 4, INIT: 5, STARTUP: 6, EXTINT: 7 } as const

/** An interrupt on its way to local APICs. */
export interface ApicMessage {
  /** A physical APIC ID or a set of logical ones. */
  destination: number
  /** The destination is logical. */
  logical: boolean
  /** The destination has 32 bits (from an x2APIC), otherwise 8. */
  wide: boolean
  /** One of {@link DELIVERY}. */
  deliveryMode: number
  vector: number
  /** Level triggered: the receiver tells the I/O APIC of its EOI. */
  levelTriggered: boolean
}

/** 256 bits in eight words of 32, as the registers show them. */
export type VectorSet = number[]

/** Tells whether a vector is in a set. */
export function hasVector(set: VectorSet, vector: number): boolean {
  return ((set[vector >> 5] >>> (vector & 31)) & 1) !== 0
}

/** Puts a vector into a set or takes it out. */
export function setVector(set: VectorSet, vector: number, on: boolean): void {
  const bit = 1 << (vector & 31)
  set[vector >> 5] = (on ? set[vector >> 5] | bit : set[vector >> 5] & ~bit) >>> 0
}

/** The highest vector of a set, or -1. */
export function highestVector(set: VectorSet): number {
  for (let word = 7; word >= 0; word--) if (set[word] !== 0) return word * 32 + 31 - Math.clz32(set[word])
  return -1
}

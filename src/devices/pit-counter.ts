/** One counter of an 8254 (Intel 82C54 data sheet, "Mode Definitions"), as functions of the tick of its clock. */
import { fromBcd, toBcd } from './registers.ts'

/** The state of a counter. Ticks are counted from the clock's time 0. */
export interface Counter {
  /** The low six bits of the last control word: access, mode and BCD. */
  control: number
  mode: number
  /** 1 low byte, 2 high byte, 3 low then high. */
  access: number
  gate: boolean
  /** The count that counting (re)starts with, 2 to 65536 (1 in modes 0, 1, 4 and 5). */
  reload: number
  /** The tick at which the counting element held `reload`: -1 before any. In modes 1 and 5, of the last trigger. */
  start: number
  /** The tick at which the count register's value reached the counting element, -1 never, Infinity not yet. */
  loadedAt: number
  /** A count that waits for the end of the period (modes 2 and 3) or for a trigger (1 and 5), or 0. */
  nextReload: number
  /** The tick at which the gate stopped counting, -1 while it counts. */
  stoppedAt: number
  /** The low byte that was written when the high byte is due, or -1. */
  writtenLow: number
  readHigh: boolean
  /** Latched count and status, -1 when not latched. */
  latchedCount: number
  latchedStatus: number
}

/** A counter after power-up: undefined in the data sheet; here waiting for its mode. */
export function initialCounter(gate: boolean): Counter {
  return {
    control: 0x30,
    mode: 0,
    access: 3,
    gate,
    reload: 0x10000,
    start: -1,
    loadedAt: -1,
    nextReload: 0,
    stoppedAt: gate ? -1 : 0,
    writtenLow: -1,
    readHigh: false,
    latchedCount: -1,
    latchedStatus: -1,
  }
}

const isBcd = (c: Counter): boolean => (c.control & 1) !== 0

/** How many ticks the counting element has counted from `start`, or -1 before it was loaded. */
function elapsed(c: Counter, now: number): number {
  if (c.start < 0) return -1
  return (c.stoppedAt >= 0 ? Math.min(now, c.stoppedAt) : now) - c.start
}

/** Ticks that OUT is high in mode 3: the longer half of an odd count. */
const highHalf = (reload: number): number => Math.ceil(reload / 2)

/** In modes 2 and 3, puts a new count to use whose time has come. */
function settle(c: Counter, now: number): void {
  if (c.nextReload === 0 || c.loadedAt > now || c.loadedAt < 0 || (c.mode !== 2 && c.mode !== 3)) return
  if (c.mode === 3) {
    // The new count takes over at the end of a half cycle. Keep the phase: it may be the low half that begins.
    const phase = (c.loadedAt - c.start) % c.reload
    c.start = phase === 0 ? c.loadedAt : c.loadedAt - highHalf(c.nextReload)
  } else c.start = c.loadedAt
  c.reload = c.nextReload
  c.nextReload = 0
}

/** The level of OUT. */
export function outputAt(c: Counter, now: number): boolean {
  settle(c, now)
  const e = elapsed(c, now)
  switch (c.mode) {
    case 0:
      return e >= c.reload
    case 1:
      return e < 0 || e >= c.reload
    case 2:
      return !c.gate || e < 0 || e % c.reload !== c.reload - 1
    case 3:
      return !c.gate || e < 0 || e % c.reload < highHalf(c.reload)
    default:
      return e !== c.reload
  }
}

/** What a read of the counter gives: 16 bits, in BCD if so programmed. */
export function countAt(c: Counter, now: number): number {
  settle(c, now)
  const modulus = isBcd(c) ? 10000 : 0x10000
  const e = Math.max(0, elapsed(c, now))
  let count: number
  if (c.mode === 2) count = c.reload - (e % c.reload)
  else if (c.mode === 3) {
    // It counts down by twos, once for each half; an odd count's first step of the high half is one.
    const inPeriod = e % c.reload
    const half = highHalf(c.reload)
    const even = c.reload & ~1
    count = even - 2 * (inPeriod < half ? Math.max(0, inPeriod - (c.reload & 1)) : inPeriod - half)
  } else count = c.reload - (e % modulus)
  count = ((count % modulus) + modulus) % modulus
  return isBcd(c) ? (toBcd(Math.floor(count / 100)) << 8) | toBcd(count % 100) : count
}

/** The next tick after `now` at which OUT rises, or undefined if it does not by itself. */
export function nextRise(c: Counter, now: number): number | undefined {
  settle(c, now)
  if (c.start < 0 || c.stoppedAt >= 0) return undefined
  switch (c.mode) {
    case 0:
    case 1:
      return c.start + c.reload > now ? c.start + c.reload : undefined
    case 2:
    case 3: {
      const rise = c.start + Math.max(1, Math.floor((now - c.start) / c.reload) + 1) * c.reload
      if (c.nextReload === 0 || rise <= c.loadedAt) return rise
      // A mode 3 count that is loaded for the low half makes that half end otherwise.
      return c.loadedAt + c.nextReload - highHalf(c.nextReload)
    }
    default:
      return c.start + c.reload + 1 > now ? c.start + c.reload + 1 : undefined
  }
}

/** The next tick after `now` at which OUT may change; Infinity if it does not by itself. */
export function nextChange(c: Counter, now: number): number {
  settle(c, now)
  if (c.start < 0 || c.stoppedAt >= 0) return Number.POSITIVE_INFINITY
  if (c.start > now) return c.start
  const inPeriod = (now - c.start) % c.reload
  const left = c.reload - inPeriod
  // A count that waits takes over in the middle of what follows from the present one.
  const taken = c.nextReload > 0 && c.loadedAt > now ? c.loadedAt : Number.POSITIVE_INFINITY
  switch (c.mode) {
    case 2:
      return Math.min(taken, now + (left > 1 ? left - 1 : 1))
    case 3: {
      const half = highHalf(c.reload)
      return Math.min(taken, now + (inPeriod < half ? half - inPeriod : left))
    }
    default: {
      const end = c.start + c.reload
      return end > now ? end : end === now ? now + 1 : Number.POSITIVE_INFINITY
    }
  }
}

/** Writes a control word that selects the counter and is no latch command. */
export function writeMode(c: Counter, control: number): void {
  c.control = control & 0x3f
  c.mode = (control >> 1) & 7
  // Modes 6 and 7 are 2 and 3.
  if (c.mode > 5) c.mode -= 4
  c.access = (control >> 4) & 3
  c.start = -1
  c.loadedAt = -1
  c.nextReload = 0
  c.writtenLow = -1
  c.readHigh = false
  c.latchedCount = -1
  c.latchedStatus = -1
  c.stoppedAt = c.gate || c.mode === 1 || c.mode === 5 ? -1 : 0
}

/** Writes a byte of the count. */
export function loadCount(c: Counter, value: number, now: number): void {
  settle(c, now)
  if (c.access === 3 && c.writtenLow < 0) {
    c.writtenLow = value
    // In mode 0 the first byte stops the count, and OUT is low.
    if (c.mode === 0) {
      c.start = -1
      c.loadedAt = -1
    }
    return
  }
  const written = c.access === 1 ? value : c.access === 2 ? value << 8 : (value << 8) | c.writtenLow
  c.writtenLow = -1
  const modulus = isBcd(c) ? 10000 : 0x10000
  let reload = (isBcd(c) ? fromBcd(written >> 8) * 100 + fromBcd(written & 0xff) : written) % modulus || modulus
  // A count of 1 is illegal in modes 2 and 3; taken as the smallest that is legal.
  if ((c.mode === 2 || c.mode === 3) && reload === 1) reload = 2
  switch (c.mode) {
    case 1:
    case 5:
      // Waits for the gate's trigger.
      c.nextReload = reload
      if (c.start < 0) c.reload = reload
      c.loadedAt = Infinity
      break
    case 2:
    case 3:
      if (c.start >= 0 && c.gate) {
        const period = c.mode === 2 || c.reload < 2 ? c.reload : 0
        const inPeriod = (now - c.start) % c.reload
        const half = highHalf(c.reload)
        const left = period > 0 ? period - inPeriod : inPeriod < half ? half - inPeriod : c.reload - inPeriod
        c.nextReload = reload
        c.loadedAt = now + left
        break
      }
      c.reload = reload
      c.nextReload = 0
      c.loadedAt = c.start = now + 1
      if (!c.gate) c.stoppedAt = c.start
      break
    default:
      c.reload = reload
      // The count arrives on the next clock pulse; a strobe or terminal count is that many ticks behind it.
      c.loadedAt = c.start = now + 1
      c.stoppedAt = c.gate ? -1 : c.start
      break
  }
}

/** Drives the GATE input. */
export function setGate(c: Counter, gate: boolean, now: number): void {
  if (gate === c.gate) return
  settle(c, now)
  c.gate = gate
  switch (c.mode) {
    case 1:
    case 5:
      if (!gate || c.loadedAt < 0) return
      if (c.nextReload > 0) c.reload = c.nextReload
      c.nextReload = 0
      c.loadedAt = c.start = now + 1
      return
    case 2:
    case 3:
      if (!gate) {
        c.stoppedAt = now
        return
      }
      // A rising gate starts the period anew.
      c.stoppedAt = -1
      if (c.start < 0) return
      if (c.nextReload > 0) c.reload = c.nextReload
      c.nextReload = 0
      c.loadedAt = c.start = now + 1
      return
    default:
      if (!gate) c.stoppedAt = now
      else {
        if (c.start >= 0 && c.stoppedAt >= 0) c.start += now - Math.min(now, c.stoppedAt)
        c.stoppedAt = -1
      }
  }
}

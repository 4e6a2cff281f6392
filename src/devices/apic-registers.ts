/**
 * The local APIC's registers and their bits, by the manual's names (SDM volume 3, chapter 11), and what the x2APIC
 * accepts of them.
 */

/** Registers by number: the xAPIC's offset over 10h, the x2APIC's MSR less 800h (SDM volume 3, tables 11-1 and 11-6). */
export const REGISTER = {
  ID: 0x02,
  VERSION: 0x03,
  TPR: 0x08,
  APR: 0x09,
  PPR: 0x0a,
  EOI: 0x0b,
  RRD: 0x0c,
  LDR: 0x0d,
  DFR: 0x0e,
  SVR: 0x0f,
  ISR: 0x10,
  TMR: 0x18,
  IRR: 0x20,
  ESR: 0x28,
  ICR_LOW: 0x30,
  ICR_HIGH: 0x31,
  LVT_TIMER: 0x32,
  LVT_LINT0: 0x35,
  LVT_ERROR: 0x37,
  TIMER_INITIAL: 0x38,
  TIMER_CURRENT: 0x39,
  TIMER_DIVIDE: 0x3e,
  SELF_IPI: 0x3f,
} as const

/** LVT: masked. */
export const LVT_MASKED = 0x10000
/** LVT of a LINT pin: level triggered. */
export const LVT_LEVEL = 0x8000
/** LVT of a LINT pin: in service. */
export const LVT_REMOTE_IRR = 0x4000
/** LVT: delivery status. */
export const LVT_PENDING = 0x1000
/** Writable bits of the LVT: timer, thermal, performance, LINT0, LINT1, error. */
export const LVT_WRITABLE = [0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff]

/** SVR: the APIC is enabled by software. */
export const SVR_ENABLED = 0x100
/** SVR: bits that can be written. */
export const SVR_WRITABLE = 0x1ff
/** ESR: an IPI had a vector below 16. */
export const ESR_SEND_ILLEGAL_VECTOR = 0x20
/** ESR: an interrupt arrived with a vector below 16. */
export const ESR_RECEIVED_ILLEGAL_VECTOR = 0x40
/** ESR: an access to a register that is not there. */
export const ESR_ILLEGAL_REGISTER = 0x80
/** ICR: bits of the low half that can be written. */
export const ICR_WRITABLE = 0xccfff
/** Divide configuration: bits that can be written. */
export const DIVIDE_WRITABLE = 0x0b

/** Integrated APIC with six LVT entries. */
export const VERSION_VALUE = 0x14 | ((LVT_WRITABLE.length - 1) << 16)

/** Registers of both kinds that can be read. */
function readable(register: number): boolean {
  return (
    register === REGISTER.ID ||
    register === REGISTER.VERSION ||
    (register >= REGISTER.TPR && register <= REGISTER.ESR && register !== REGISTER.DFR) ||
    (register >= REGISTER.ICR_LOW && register <= REGISTER.TIMER_CURRENT) ||
    register === REGISTER.TIMER_DIVIDE
  )
}

/** Tells whether RDMSR of an x2APIC register succeeds (SDM volume 3, table 11-6). */
export function x2apicReads(register: number): boolean {
  return (
    readable(register) &&
    register !== REGISTER.APR &&
    register !== REGISTER.EOI &&
    register !== REGISTER.RRD &&
    register !== REGISTER.ICR_HIGH
  )
}

/** Tells whether the values may be written to an x2APIC register as far as reserved bits go. */
export function x2apicAccepts(register: number, low: number, high: number): boolean {
  if (register === REGISTER.ICR_LOW) return (low & ~ICR_WRITABLE) === 0
  if (high !== 0) return false
  const lvt = LVT_WRITABLE[register - REGISTER.LVT_TIMER]
  if (lvt !== undefined) return (low & ~(lvt | LVT_PENDING | LVT_REMOTE_IRR)) === 0
  switch (register) {
    case REGISTER.EOI:
    case REGISTER.ESR:
      return low === 0
    case REGISTER.TPR:
    case REGISTER.SELF_IPI:
      return low <= 0xff
    case REGISTER.SVR:
      return (low & ~SVR_WRITABLE) === 0
    case REGISTER.TIMER_DIVIDE:
      return (low & ~DIVIDE_WRITABLE) === 0
    default:
      return true
  }
}

/** SMART (ATA/ATAPI-7 volume 1, 6.54): a disk that is well, always. */
import { ATA_ERROR, type AtaAction, type TaskFile } from './ata.ts'

/** Subcommands, in the feature register. */
const SMART = {
  READ_DATA: 0xd0,
  READ_THRESHOLDS: 0xd1,
  ATTRIBUTE_AUTOSAVE: 0xd2,
  SAVE_ATTRIBUTES: 0xd3,
  EXECUTE_OFFLINE: 0xd4,
  READ_LOG: 0xd5,
  ENABLE: 0xd8,
  DISABLE: 0xd9,
  RETURN_STATUS: 0xda,
} as const
const KEY_MID = 0x4f
const KEY_HIGH = 0xc2

/** Attributes: number, flags, value, worst, raw value, threshold. */
const ATTRIBUTES: readonly [id: number, flags: number, value: number, raw: number, threshold: number][] = [
  [1, 0x03, 100, 0, 6], // raw read error rate
  [3, 0x03, 100, 16, 0], // spin-up time
  [4, 0x02, 100, 100, 20], // start/stop count
  [5, 0x03, 100, 0, 36], // reallocated sectors
  [9, 0x03, 100, 1, 0], // power-on hours
  [12, 0x03, 100, 1, 0], // power cycles
  [190, 0x03, 69, 31, 50], // temperature
]

function withChecksum(bytes: Uint8Array): Uint8Array {
  let sum = 0
  for (let i = 0; i < 511; i++) sum += bytes[i]
  bytes[511] = -sum & 0xff
  return bytes
}

function table(fill: (bytes: Uint8Array, at: number, attribute: (typeof ATTRIBUTES)[number]) => void): Uint8Array {
  const bytes = new Uint8Array(512)
  bytes[0] = 1
  for (const [index, attribute] of ATTRIBUTES.entries()) {
    bytes[2 + 12 * index] = attribute[0]
    fill(bytes, 2 + 12 * index, attribute)
  }
  return bytes
}

function data(): Uint8Array {
  const bytes = table((b, at, [, flags, value, raw]) => {
    b[at + 1] = flags
    b[at + 3] = value
    b[at + 4] = value
    b[at + 5] = raw
  })
  bytes[362] = 0x02 // offline collection finished
  bytes[367] = 0x19 // self-tests, immediate and offline
  bytes[368] = 0x03
  bytes[370] = 1 // error logging
  bytes[372] = 2 // minutes of a short test
  bytes[373] = 54
  return withChecksum(bytes)
}

/** Does a SMART command for a disk whose state has a switch and a count of self-tests. */
export function smartCommand(registers: TaskFile, state: { smart: boolean; selfTests: number }): AtaAction {
  const refused: AtaAction = { kind: 'abort', error: ATA_ERROR.ABRT }
  if ((registers.lbaMid & 0xff) !== KEY_MID || (registers.lbaHigh & 0xff) !== KEY_HIGH) return refused
  const subcommand = registers.feature & 0xff
  if (!state.smart && subcommand !== SMART.ENABLE) return refused
  switch (subcommand) {
    case SMART.ENABLE:
      state.smart = true
      return { kind: 'complete' }
    case SMART.DISABLE:
      state.smart = false
      return { kind: 'complete' }
    case SMART.ATTRIBUTE_AUTOSAVE:
    case SMART.SAVE_ATTRIBUTES:
      return { kind: 'complete' }
    case SMART.RETURN_STATUS:
      // The key unchanged says that no threshold is exceeded.
      return { kind: 'complete' }
    case SMART.READ_DATA:
      return { kind: 'data-in', bytes: data() }
    case SMART.READ_THRESHOLDS: {
      const bytes = table((b, at, attribute) => {
        b[at + 1] = attribute[4]
      })
      return { kind: 'data-in', bytes: withChecksum(bytes) }
    }
    case SMART.EXECUTE_OFFLINE:
      state.selfTests = Math.min(21, state.selfTests + 1)
      return { kind: 'complete' }
    case SMART.READ_LOG:
      return log(registers.lbaLow & 0xff, state.selfTests)
    default:
      return refused
  }
}

/** The logs: their directory, the summary of errors (none), the self-tests (all passed). */
function log(address: number, selfTests: number): AtaAction {
  const bytes = new Uint8Array(512)
  switch (address) {
    case 0:
      bytes[0] = 1
      bytes[2] = 1
      bytes[12] = 1
      return { kind: 'data-in', bytes }
    case 1:
      bytes[0] = 1
      return { kind: 'data-in', bytes: withChecksum(bytes) }
    case 6:
      bytes[0] = 1
      for (let i = 0; i < selfTests; i++) bytes[2 + 24 * i] = 1
      bytes[508] = selfTests
      return { kind: 'data-in', bytes: withChecksum(bytes) }
    default:
      return { kind: 'abort', error: ATA_ERROR.ABRT }
  }
}

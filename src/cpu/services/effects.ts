/**
 * What each service that instructions call reads and changes of the state that a virtual machine monitor must control,
 * and when it traps: what the recorder of src/isa/sensitivity.ts cannot see by itself, because services are TypeScript.
 * Every service that a definition calls has an entry; one of a routine's name stands in place of what the recorder would find.
 */

import { services as x87 } from './x87.ts'

/** State of the processor that decides over resources: whoever reads or changes it is sensitive (Popek and Goldberg). */
export type SensitiveState =
  /** IF IOPL VM NT TF RF VIF VIP. */
  | 'system flags'
  /** CPL, and with it the privilege bits that selectors show. */
  | 'privilege level'
  /** Selectors and descriptors in ES CS SS DS FS GS. */
  | 'segment registers'
  /** GDTR IDTR LDTR TR. */
  | 'descriptor table registers'
  /** The descriptors themselves: GDT, LDT, IDT, TSS. */
  | 'descriptor tables'
  /** CR0 CR2 CR3 CR4 CR8 EFER XCR0. */
  | 'control registers'
  | 'debug registers'
  | 'model-specific registers'
  | 'time-stamp counter'
  /** Input and output ports. */
  | 'ports'
  /** TLB and caches. */
  | 'translations and caches'
  /** Halted, shut down. */
  | 'activity'

/** When something traps that is executed in user mode (CPL 3). */
export type Trap =
  /** Always (or, for IOPL and the I/O bitmap, whenever the system does not give leave). */
  | 'always'
  /** Only when a bit of a control register asks for it: UMIP, TSD, PCE. */
  | 'configured'

/** A service's effects. */
export interface ServiceEffects {
  readonly reads?: readonly SensitiveState[]
  readonly writes?: readonly SensitiveState[]
  readonly traps?: Trap
}

/** Neither reads nor changes any of it. */
const NOTHING: ServiceEffects = {}
const SEGMENT_LOAD: ServiceEffects = {
  reads: ['descriptor tables', 'privilege level'],
  writes: ['segment registers'],
}
const DESCRIPTOR_LOOK: ServiceEffects = { reads: ['descriptor tables', 'privilege level'] }
const FAR_TRANSFER: ServiceEffects = {
  reads: ['descriptor tables', 'privilege level', 'segment registers'],
  writes: ['segment registers', 'privilege level'],
}
const INTERRUPT: ServiceEffects = {
  reads: ['descriptor tables', 'privilege level', 'segment registers', 'system flags'],
  writes: ['segment registers', 'privilege level', 'system flags'],
}
const FAST_CALL: ServiceEffects = {
  reads: ['model-specific registers', 'system flags'],
  writes: ['segment registers', 'privilege level', 'system flags'],
}
const TABLE_LOAD: ServiceEffects = { reads: ['descriptor tables'], writes: ['descriptor table registers'] }
const FLUSH: ServiceEffects = { writes: ['translations and caches'] }

/** The effects by the name of the service. */
export const SERVICE_EFFECTS: Readonly<Record<string, ServiceEffects>> = {
  interruptByNumber: INTERRUPT,
  softwareInterrupt: INTERRUPT,
  debugInterrupt: INTERRUPT,
  interruptReturn: INTERRUPT,
  // A routine, not a service. CLI and STI beyond IOPL: #GP, or VIF under CR4.VME and PVI, which give the program a flag of its own.
  changeVirtualInterrupts: { writes: ['system flags'], traps: 'always' },
  // IOPL and the TSS's bitmap decide; a system that keeps both to itself sees every access.
  checkPort: { writes: ['ports'], traps: 'always' },
  readPort: { reads: ['ports'], writes: ['ports'], traps: 'always' },
  inputRun: { reads: ['ports'], writes: ['ports'], traps: 'always' },
  writePort: { writes: ['ports'], traps: 'always' },

  readControl: { reads: ['control registers'] },
  writeControl: { writes: ['control registers', 'translations and caches'] },
  writeExtendedControl: { writes: ['control registers'] },
  clearTaskSwitched: { writes: ['control registers'] },
  loadMachineStatusWord: { writes: ['control registers'] },
  readDebug: { reads: ['debug registers'] },
  writeDebug: { writes: ['debug registers'] },
  invalidatePage: FLUSH,
  invalidatePcid: FLUSH,
  readMsr: { reads: ['model-specific registers'] },
  writeMsr: { writes: ['model-specific registers'] },
  // CR4.TSD.
  readTimestamp: { reads: ['time-stamp counter'], traps: 'configured' },
  readTimestampAndProcessor: { reads: ['time-stamp counter', 'model-specific registers'], traps: 'configured' },
  // Leaf 1 shows CR4.OSXSAVE, and whether the local APIC is enabled.
  cpuid: { reads: ['control registers', 'model-specific registers'] },
  halt: { writes: ['activity'] },
  random: NOTHING,
  hypercall: { traps: 'always' },
  systemCall: FAST_CALL,
  systemEnter: FAST_CALL,
  systemReturn: { ...FAST_CALL, traps: 'always' },
  systemExit: { ...FAST_CALL, traps: 'always' },

  loadSegment: SEGMENT_LOAD,
  loadFarSegment: SEGMENT_LOAD,
  farJump: FAR_TRANSFER,
  farCall: FAR_TRANSFER,
  farReturn: FAR_TRANSFER,
  loadAccessRights: DESCRIPTOR_LOOK,
  loadSegmentLimit: DESCRIPTOR_LOOK,
  verifyRead: DESCRIPTOR_LOOK,
  verifyWrite: DESCRIPTOR_LOOK,
  loadLocalTable: TABLE_LOAD,
  loadTaskRegister: TABLE_LOAD,
  loadGlobalTable: TABLE_LOAD,
  loadInterruptTable: TABLE_LOAD,
  // CR4.UMIP.
  checkUmip: { traps: 'configured' },

  ...Object.fromEntries(Object.keys(x87).map(name => [name, NOTHING])),
}

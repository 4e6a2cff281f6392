/**
 * Bits of the state word `events`: what waits between two instructions. Zero, its value nearly always, means that the
 * engine may go on; else it calls {@link Vcpu.takeEvent} unless only a masked interrupt request is there.
 */

/**
 * INTR is asserted: an interrupt controller has something to offer. The bit has IF's place in EFLAGS, so that
 * `events & (systemFlags | ~EVENT_INTERRUPT)` is what may be acted upon now.
 */
export const EVENT_INTERRUPT = 1 << 9
/** An NMI is latched. */
export const EVENT_NMI = 1 << 0
/** INIT was received. */
export const EVENT_INIT = 1 << 1
/** A debug exception of trap type (data or I/O breakpoint, task switch) waits for the end of the instruction. */
export const EVENT_DEBUG = 1 << 2
/** The processor is in shutdown after a triple fault: nothing is executed until a reset. */
export const EVENT_SHUTDOWN = 1 << 3
/** A start-up IPI was received; the vector is in `Vcpu.startupVector`. */
export const EVENT_STARTUP = 1 << 4
/** The processor waits for a start-up IPI. */
export const EVENT_WAIT_FOR_STARTUP = 1 << 5
/** The machine asks the engine to come back (`MachineInterface.stopRequested`). */
export const EVENT_STOP = 1 << 6
/** HLT or MWAIT was executed: the engine is to look at `F.halted`. */
export const EVENT_HALT = 1 << 7
/** The mode has come to want care (single step, breakpoints): the engine is to go on instruction by instruction. */
export const EVENT_CAREFUL = 1 << 8

/** Values of `F.interruptShadow`: after STI interrupts wait, after MOV SS and POP SS debug traps too. */
export const SHADOW_STI = 1
export const SHADOW_MOV_SS = 2

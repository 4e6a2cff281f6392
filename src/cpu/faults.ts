/** Raising exceptions from TypeScript: the fault's words are in the vCPU's state, what is thrown only unwinds. */
import { F } from './state.ts'
import type { Vcpu } from './vcpu.ts'

/**
 * A "vector" that is no exception: an x87 error waits and CR0.NE is clear, so that the processor asserts FERR# and stops in front of
 * the instruction until an interrupt comes (SDM vol. 1, 8.7.2).
 */
export const EXTERNAL_NUMERIC_ERROR = 256

/** Exceptions without an error code have this in its place. */
export const NO_ERROR_CODE = -1

/**
 * What {@link raise} throws. It carries nothing: vector and error code stand in `F.faultVector` and
 * `F.faultErrorCode`. One frozen object, because making an Error costs microseconds and guests fault often.
 */
export const GUEST_FAULT: { readonly guestFault: true } = Object.freeze({ guestFault: true })

const FAULT = F.fault.offset >> 2
const FAULT_VECTOR = F.faultVector.offset >> 2
const FAULT_ERROR_CODE = F.faultErrorCode.offset >> 2

/** Notes an exception in the state and returns: for code called from WebAssembly, which no exception may cross. */
export function setFault(cpu: Vcpu, vector: number, errorCode = NO_ERROR_CODE): void {
  const words = cpu.state.i32
  words[FAULT] = 1
  words[FAULT_VECTOR] = vector
  words[FAULT_ERROR_CODE] = errorCode
}

/** Raises an exception from within a service. @throws {@link GUEST_FAULT} always */
export function raise(cpu: Vcpu, vector: number, errorCode = NO_ERROR_CODE): never {
  setFault(cpu, vector, errorCode)
  throw GUEST_FAULT
}

/** #GP with an error code, 0 by default. @throws {@link GUEST_FAULT} always */
export function raiseGeneralProtection(cpu: Vcpu, errorCode = 0): never {
  return raise(cpu, 13, errorCode)
}

/** Runs what may raise; afterwards `F.fault` tells whether it did. Other errors pass through. */
export function guarded(run: () => void): void {
  try {
    run()
  } catch (error) {
    if (error !== GUEST_FAULT) throw error
  }
}

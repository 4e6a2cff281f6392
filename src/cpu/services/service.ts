/** What a service is: TypeScript that an instruction calls for what is too rare or too long to be generated code. */
import { GUEST_FAULT } from '../faults.ts'
import { F } from '../state.ts'
import type { Vcpu } from '../vcpu.ts'

/**
 * A service as the engines call it. While it runs, RIP is its instruction's and `F.nextRip` the next one's; execution
 * goes on at `F.nextRip`. Results are in `F.serviceResult`. A fault is noted in `F.fault`, nothing is thrown.
 */
export interface Service {
  /** Kinds of the values that it gets; an i64 arrives as two numbers, low and high half. */
  readonly parameters: readonly ('i32' | 'i64')[]
  run(cpu: Vcpu, ...values: number[]): void
}

/** Services by name. */
export type Services = Readonly<Record<string, Service>>

/** Makes a service of a function that may throw {@link GUEST_FAULT}. */
export function service(
  parameters: readonly ('i32' | 'i64')[],
  body: (cpu: Vcpu, ...values: number[]) => void,
): Service {
  return {
    parameters,
    run(cpu, ...values) {
      cpu.taskSwitched = false
      try {
        body(cpu, ...values)
      } catch (error) {
        if (error !== GUEST_FAULT) throw error
        // In a new task the fault is not the instruction's: it is delivered at the new task's RIP.
        if (cpu.taskSwitched) cpu.deliverFault()
      }
    },
  }
}

/**
 * Makes a service of a function that goes elsewhere: it sets RIP. Where to cannot be told by comparing RIP with what it
 * was, since another segment's code may go on at the same offset.
 */
export function transfer(
  parameters: readonly ('i32' | 'i64')[],
  body: (cpu: Vcpu, ...values: number[]) => void,
): Service {
  const { run } = service(parameters, body)
  return {
    parameters,
    run(cpu, ...values) {
      run(cpu, ...values)
      if (cpu.state.get32(F.fault) === 0)
        cpu.state.setHalves(F.nextRip, cpu.state.get32(F.rip), cpu.state.getHigh(F.rip))
    },
  }
}

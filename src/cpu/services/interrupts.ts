/** Services of INT n, INT3, INTO, INT1 and IRET. */
import { KIND_PRIVILEGED_SOFTWARE, KIND_SOFTWARE, softwareInterrupt } from '../exceptions.ts'
import { interruptReturn } from '../iret.ts'
import { type Services, transfer } from './service.ts'

export const services: Services = {
  /** INT n: the only one that virtual-8086 mode treats its own way, whatever n. */
  interruptByNumber: transfer(['i32'], (cpu, vector) => softwareInterrupt(cpu, vector, KIND_SOFTWARE, true)),
  /** INT3 and INTO. */
  softwareInterrupt: transfer(['i32'], (cpu, vector) => softwareInterrupt(cpu, vector, KIND_SOFTWARE)),
  debugInterrupt: transfer([], cpu => {
    cpu.mergePendingDebug()
    softwareInterrupt(cpu, 1, KIND_PRIVILEGED_SOFTWARE)
  }),
  /** Operand size in bytes. */
  interruptReturn: transfer(['i32'], (cpu, size) => interruptReturn(cpu, size)),
}

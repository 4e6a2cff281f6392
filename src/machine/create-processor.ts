/** Makes the PC's processor of the vCPU and engine that the processor's room provides. */
import type { Processor, ProcessorOptions } from './processor.ts'

/** Makes a processor. @throws Error until the first engine is there */
export function createPcProcessor(_options: ProcessorOptions): Processor {
  throw new Error('there is no engine yet')
}

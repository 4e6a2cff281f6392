/** The library's machine with Node's threads as its workers. */
import { Machine as AnyMachine, type MachineOptions } from '../../index.ts'
import { nodeWorker } from './node-worker.ts'

/** {@inheritDoc AnyMachine} */
export class Machine extends AnyMachine {
  static override create(options: MachineOptions): Promise<Machine> {
    // biome-ignore lint/complexity/noThisInStatic: the base class makes an instance of the class it is called on
    return super.create({ ...options, worker: options.worker ?? (() => nodeWorker()) })
  }
}

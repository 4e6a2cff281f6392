/** Workers of Node, seen the way the machine sees workers. */
import { type Transferable, Worker } from 'node:worker_threads'
import type { WorkerLike } from '../../machine/worker-like.ts'

/** The machine's worker module. */
const MODULE = new URL('./machine-worker.ts', import.meta.url)

/** What a machine's thread is told of the process. */
export interface MachineWorkerData {
  /** As v8Flags.inlining: bin/node-new-enough starts Node without. */
  readonly inlining: boolean
}

/**
 * Most MiB of V8's heap for new objects. Its own choice is 96, of which a boot touches 64; a smaller one made a boot no
 * slower (docs/footprint.md).
 */
const YOUNG_GENERATION = 12

/**
 * Starts a worker thread.
 * @param module the module it runs; default: the machine's
 * @returns it, running; messages sent before it listens are kept
 */
export function nodeWorker(module: URL = MODULE): WorkerLike {
  const worker = new Worker(module, {
    name: 'typetwo machine',
    // The caller's own options, as of a script given on its command line, are not for a thread of a file.
    execArgv: [],
    workerData: { inlining: !process.execArgv.includes('--no-wasm-inlining') } satisfies MachineWorkerData,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION },
  })
  let terminated = false
  return {
    postMessage(message, transfer) {
      worker.postMessage(message, transfer as Transferable[] | undefined)
    },
    onMessage(listener) {
      worker.on('message', listener)
    },
    onError(listener) {
      worker.on('error', listener)
      worker.on('messageerror', listener)
      worker.on('exit', code => {
        // Also with status 0: a machine's thread has no reason to end before it is told to.
        if (!terminated) listener(new Error(`the machine's thread ended with status ${code}`))
      })
    },
    async terminate() {
      terminated = true
      await worker.terminate()
    },
  }
}

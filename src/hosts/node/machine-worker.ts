/** The thread of Node in which a machine runs. */
import { setFlagsFromString } from 'node:v8'
import { parentPort, workerData } from 'node:worker_threads'
import { v8Flags } from '../../engines/tiering.ts'
import { createPcProcessor } from '../../machine/create-processor.ts'
import { serveMachine } from '../../machine/worker.ts'
import { heedBranchHints } from './branch-hints.ts'
import { codeStoreOfProcess } from './code-store.ts'
import { collector } from './collector.ts'
import type { OpenDiskOptions } from './disks.ts'
import type { MachineWorkerData } from './node-worker.ts'

heedBranchHints()
v8Flags.set = setFlagsFromString
v8Flags.inlining = (workerData as MachineWorkerData).inlining
const port = parentPort
if (!port) throw new Error('this module is the entry of a worker thread')
serveMachine(
  {
    postMessage: (message, transfer) => port.postMessage(message, transfer ?? []),
    onMessage: listener => port.on('message', listener),
  },
  options => createPcProcessor(options, codeStoreOfProcess()),
  {
    idle: collector(),
    // The formats of images are a tenth of all modules, and most machines start without.
    openImage: async (image, options) => (await import('./disks.ts')).openDiskOrBlob(image, options as OpenDiskOptions),
  },
)

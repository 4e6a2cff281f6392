/** The thread of Node in which a machine runs. */
import { parentPort } from 'node:worker_threads'
import { createPcProcessor } from '../../machine/create-processor.ts'
import { serveMachine } from '../../machine/worker.ts'

const port = parentPort
if (!port) throw new Error('this module is the entry of a worker thread')
serveMachine(
  {
    postMessage: (message, transfer) => port.postMessage(message, transfer ?? []),
    onMessage: listener => port.on('message', listener),
  },
  createPcProcessor,
)

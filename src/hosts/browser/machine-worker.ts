/** The module worker of a browser in which a machine runs. */
import { createPcProcessor } from '../../machine/create-processor.ts'
import { serveMachine } from '../../machine/worker.ts'
import { openBrowserImage } from './images.ts'

const scope = globalThis as unknown as {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void
}

serveMachine(
  {
    postMessage: (message, transfer) => scope.postMessage(message, transfer ?? []),
    onMessage: listener => scope.addEventListener('message', event => listener(event.data)),
  },
  createPcProcessor,
  { openImage: openBrowserImage },
)

/**
 * The two ends of a worker, as small as every host can give them: web workers and Node's worker threads alike. The
 * host's module that runs inside the worker imports `worker.ts` and gives it the inner end.
 */

/** The caller's end of a worker. */
export interface WorkerLike {
  /** Sends a structured-cloneable message; `transfer` lists what is moved rather than copied. */
  postMessage(message: unknown, transfer?: readonly (ArrayBuffer | MessagePort)[]): void
  /** Hears each message of the worker, from now on. */
  onMessage(listener: (message: unknown) => void): void
  /** Hears that the worker failed: an uncaught error, or an end that nobody asked for. */
  onError(listener: (error: Error) => void): void
  /** Ends the worker, whatever it is doing. */
  terminate(): Promise<void>
}

/** The worker's own end. Messages that come before there is a listener are kept. */
export interface WorkerPort {
  postMessage(message: unknown, transfer?: readonly (ArrayBuffer | MessagePort)[]): void
  onMessage(listener: (message: unknown) => void): void
}

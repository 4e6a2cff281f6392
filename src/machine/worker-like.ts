/** A worker as the machine sees it: of Node, of a browser, or of a test that runs it in the same thread. */

/** The caller's end of a worker. */
export interface WorkerLike {
  /** Sends a structured-cloneable message; buffers and ports in `transfer` move instead of being copied. */
  postMessage(message: unknown, transfer?: (ArrayBuffer | MessagePort)[]): void
  /** Calls `listener` with every message from the worker. */
  onMessage(listener: (message: unknown) => void): void
  /** Calls `listener` when the worker dies of an error, or a message cannot be read. */
  onError(listener: (error: Error) => void): void
  /** Ends the worker at once. */
  terminate(): Promise<void>
}

/** The worker's own end. */
export interface WorkerPort {
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void
  onMessage(listener: (message: unknown) => void): void
}

/** What the command line needs of the library's machine; a test gives a fake. */

/** How a machine ended. */
export interface MachineEnd {
  reason: 'poweroff' | 'reset' | 'triple-fault' | 'debug-exit' | 'destroyed' | 'error'
  /** What happened, one sentence. */
  message?: string
  /** The status that a debug exit asked for. */
  code?: number
  /** The counters at the end. */
  stats?: object
}

/** The part of the library's `Machine` that is used here. */
export interface RunningMachine {
  start(): Promise<void>
  destroy(): Promise<void>
  readonly serial: readonly { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> }[]
  readonly stopped: Promise<MachineEnd>
  stats(): Promise<object>
  resizeConsole(columns: number, rows: number): Promise<void>
  addEventListener(type: 'log', listener: (event: Event) => void): void
}

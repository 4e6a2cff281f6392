/** Generated WebAssembly that outlives the process, where the host has a place for it. */

/**
 * Keeps bytes by name. What was written under a name by sources that are not these is not there any more: whoever provides the
 * store sees to that.
 */
export interface CodeStore {
  /** The bytes of a name, or undefined. Never throws. */
  read(name: string): Uint8Array<ArrayBuffer> | undefined
  /** Keeps bytes, or does nothing where it cannot. */
  write(name: string, bytes: Uint8Array): void
}

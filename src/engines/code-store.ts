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
  /**
   * The module of bytes that were kept under a name, with the machine code that an earlier process had of it.
   * @param compile makes the module where there is none
   */
  module?(name: string, bytes: Uint8Array<ArrayBuffer>, compile?: () => WebAssembly.Module): WebAssembly.Module
  /** Keeps the machine code that there is by now of a module of these bytes. @param small one of its functions, that does nothing */
  keepModule?(name: string, module: WebAssembly.Module, bytes: Uint8Array, small: CallableFunction): void
}

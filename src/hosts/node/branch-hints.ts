/** Branch hints of WebAssembly (`metadata.code.branch_hint`), which V8 knows since version 13 and heeds unasked since 14. */
import { setFlagsFromString } from 'node:v8'

/**
 * Has V8 heed branch hints in all modules that are decoded from now on. Without, the optimising compiler leaves what hardly happens, as
 * a miss of the TLB, in the midst of what happens always: code then takes a third more time (docs/performance.md).
 * `bin/node-new-enough` says so on the command line, which code that V8 keeps between starts depends on.
 */
export function heedBranchHints(): void {
  // A version that no longer has the flag would print an error.
  if (process.versions.v8.startsWith('13.')) setFlagsFromString('--experimental-wasm-branch-hinting')
}

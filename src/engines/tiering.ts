/** Which of V8's compilers handles a module, where the host lets us say so. */

export const v8Flags: {
  /** Sets a V8 flag; the Node host installs it, other hosts have none. */
  set: ((flag: string) => void) | undefined
  /**
   * Whether V8 inlines calls in WebAssembly, for which it counts them in each function that its baseline compiler made: 7 % of the time of
   * cold code, and regions have nothing to inline. It can be turned off only as the process starts: the optimising compiler fails on
   * functions whose calls were counted, and code that counts aborts the process where its function was first called while it was off.
   */
  inlining: boolean
} = { set: undefined, inlining: true }

/**
 * Compiles by the optimising compiler at once: the interpreter's main function is large, runs from the first moment and
 * is several times slower in the baseline compiler's code.
 */
export function compileOptimised<T>(compile: () => T): T {
  const { set, inlining } = v8Flags
  // Inlining relies on what the baseline compiler's code has counted, and flags are those of all threads of the process.
  if (!set || inlining) return compile()
  const flags = ['liftoff', 'wasm-lazy-compilation']
  for (const flag of flags) set(`--no-${flag}`)
  try {
    return compile()
  } finally {
    for (const flag of flags) set(`--${flag}`)
  }
}

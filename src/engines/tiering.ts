/** Which of V8's compilers handles a module, where the host lets us say so. */

/** Sets a V8 flag; the Node host installs it, other hosts have none. */
export const v8Flags: { set: ((flag: string) => void) | undefined } = { set: undefined }

/**
 * Compiles by the optimising compiler at once: the interpreter's main function is large, runs from the first moment and
 * is several times slower in the baseline compiler's code.
 */
export function compileOptimised<T>(compile: () => T): T {
  const { set } = v8Flags
  if (!set) return compile()
  // Inlining relies on what the baseline compiler's code has counted.
  const flags = ['liftoff', 'wasm-lazy-compilation', 'wasm-inlining', 'wasm-inlining-call-indirect']
  for (const flag of flags) set(`--no-${flag}`)
  try {
    return compile()
  } finally {
    for (const flag of flags) set(`--${flag}`)
  }
}

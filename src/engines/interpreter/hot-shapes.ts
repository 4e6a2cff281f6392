/**
 * The shapes of instructions whose handlers are inside the interpreter's main function, the most often executed first: from
 * `Interpreter.profile()` over boots. The number in front holds the bits of the shape's key (handlers.ts).
 */
export const HOT_SHAPES: readonly string[] = []

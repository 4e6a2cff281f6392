/**
 * The shapes of instructions whose handlers are inside the interpreter's main function, the most often executed first: from
 * `Interpreter.profile()` over boots. The number in front holds the bits of the shape's key (handlers.ts).
 */
export const HOT_SHAPES: readonly string[] = [
  '5nh1 ADD 01 /r  Ev,Gv',
  '5qmt MOV 89 /r  Ev,Gv',
  '5qmt ADD 03 /r  Gv,Ev',
  '5nh1 PUSH 50+r d64  Zv',
  '5nh1 POP 58+r d64  Zv',
  '5nh1 DEC 48+r i64  Zv',
  '5nh1 JNE 75 cb f64  Jb',
  '5nh1 MOV B8+r iv  Zv,Iv',
  '5nh1 XOR 31 /r  Ev,Gv',
  '5nh1 JMP EB cb f64  Jb',
]

/**
 * The machine code that V8 made of a WebAssembly module, as bytes, so that another process need not make it again. Browsers do so for
 * what they stream; in Node only V8's own natives reach it, and not in all versions.
 */
import { setFlagsFromString } from 'node:v8'

/** Writes and reads machine code. What V8 reads must be what it wrote: it is checked for another version, not for damage. */
export interface NativeCode {
  /**
   * What V8's optimising compiler has made of a module by now.
   * @param small one of its functions, which may be compiled for it: V8 ends the process where there is nothing to write
   */
  write(module: WebAssembly.Module, small: CallableFunction): Uint8Array
  /** The module of these bytes with its machine code; undefined where that was made by another V8, or with other flags. */
  read(code: Uint8Array<ArrayBuffer>, bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module | undefined
}

/** A module with a function `f` that does nothing. */
const EXAMPLE = Uint8Array.of(
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0],
  ...[7, 5, 1, 1, 0x66, 0, 0, 10, 4, 1, 2, 0, 0x0b],
)

/** Versions of V8 whose natives are as they are called here: what others think wrong ends the process. Node 24 has this one. */
const KNOWN = /^13\.6\./

let found: NativeCode | undefined | null = null

/** Undefined where this version of Node has no such thing. */
export function nativeCode(): NativeCode | undefined {
  if (found === null) found = find()
  return found
}

function find(): NativeCode | undefined {
  let serialize: (module: WebAssembly.Module) => ArrayBuffer
  let tierUp: (f: CallableFunction) => void
  let deserialize: (code: ArrayBuffer, bytes: Uint8Array) => WebAssembly.Module | undefined
  if (!KNOWN.test(process.versions.v8)) return undefined
  setFlagsFromString('--allow-natives-syntax')
  try {
    serialize = new Function('module', 'return %SerializeWasmModule(module)') as typeof serialize
    deserialize = new Function('code', 'bytes', 'return %DeserializeWasmModule(code, bytes)') as typeof deserialize
    tierUp = new Function('f', '%WasmTierUpFunction(f)') as typeof tierUp
    // They are compiled when they are first called: that has to be while natives are allowed.
    const module = new WebAssembly.Module(EXAMPLE)
    tierUp(new WebAssembly.Instance(module).exports.f as CallableFunction)
    deserialize(serialize(module), EXAMPLE)
  } catch {
    return undefined
  } finally {
    setFlagsFromString('--no-allow-natives-syntax')
  }
  const exact = (bytes: Uint8Array<ArrayBuffer>) =>
    bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer
  return {
    write: (module, small) => {
      tierUp(small)
      return new Uint8Array(serialize(module))
    },
    read: (code, bytes) => deserialize(exact(code), bytes),
  }
}

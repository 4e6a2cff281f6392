import { ByteWriter } from './bytes.ts'
import type { FunctionType, ValueType } from './types.ts'

/** Limits and kind of a memory import; pages of 64 KiB. */
export interface MemoryImport {
  module: string
  name: string
  minimum: number
  maximum: number
}

/** What a branch of a function is expected to do. */
export interface BranchHint {
  /** Offset of the branching instruction from the start of the function's body. */
  readonly offset: number
  /** Whether its condition is likely to hold. */
  readonly likely: boolean
}

/**
 * Assembles a module: imports first, then functions; indices are handed out as things are declared
 * (WebAssembly core specification, section 5.5).
 */
export class ModuleBuilder {
  private readonly types: FunctionType[] = []
  private readonly typeIndex = new Map<string, number>()
  private readonly functionImports: { module: string; name: string; type: number }[] = []
  private readonly memories: MemoryImport[] = []
  private table: { module: string; name: string; minimum: number } | undefined
  private readonly functions: {
    type: number
    body: Uint8Array | undefined
    hints: readonly BranchHint[]
    name: string | undefined
  }[] = []
  private readonly exports: { name: string; index: number }[] = []
  private elements: { offset: number; functions: readonly number[] } | undefined

  /** The index of a function type, added if it is new. */
  type(type: FunctionType): number {
    const key = `${type.params.join()}>${type.results.join()}`
    let index = this.typeIndex.get(key)
    if (index === undefined) {
      index = this.types.push(type) - 1
      this.typeIndex.set(key, index)
    }
    return index
  }

  /** Declares an imported function; all imports come before the first own function. @returns its index. */
  importFunction(module: string, name: string, type: FunctionType): number {
    if (this.functions.length > 0) throw new Error(`import of ${name} after the first function`)
    return this.functionImports.push({ module, name, type: this.type(type) }) - 1
  }

  /** Declares a shared 32-bit memory. @returns its index. */
  importMemory(memory: MemoryImport): number {
    return this.memories.push(memory) - 1
  }

  /** Declares the one table of functions. */
  importTable(module: string, name: string, minimum: number): void {
    this.table = { module, name, minimum }
  }

  /** Declares a function whose body comes later by {@link define}. @returns its index. */
  declare(type: FunctionType, name?: string): number {
    this.functions.push({ type: this.type(type), body: undefined, hints: [], name })
    return this.functionImports.length + this.functions.length - 1
  }

  /** Gives a declared function its body: locals and code with the final `end`; hints by ascending offset. */
  define(index: number, body: Uint8Array, hints: readonly BranchHint[] = []): void {
    const made = this.functions[index - this.functionImports.length]
    made.body = body
    made.hints = hints
  }

  /** Exports a function. */
  export(name: string, index: number): void {
    this.exports.push({ name, index })
  }

  /** Puts functions into the table, from an offset on, when the module is instantiated. */
  fillTable(offset: number, functions: readonly number[]): void {
    this.elements = { offset, functions }
  }

  /** The module's bytes. Throws if a declared function has no body. */
  finish(): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter(4096)
    out.raw([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
    const section = (id: number, write: (w: ByteWriter) => void) => {
      const w = new ByteWriter()
      write(w)
      out.byte(id)
      out.unsigned(w.length)
      out.raw(w.bytes.subarray(0, w.length))
    }
    section(1, w => {
      w.unsigned(this.types.length)
      for (const type of this.types) {
        w.byte(0x60)
        writeTypes(w, type.params)
        writeTypes(w, type.results)
      }
    })
    section(2, w => {
      w.unsigned(this.functionImports.length + this.memories.length + (this.table ? 1 : 0))
      for (const { module, name, type } of this.functionImports) {
        w.name(module)
        w.name(name)
        w.byte(0)
        w.unsigned(type)
      }
      for (const { module, name, minimum, maximum } of this.memories) {
        w.name(module)
        w.name(name)
        w.byte(2)
        w.byte(3) // shared, with a maximum
        w.unsigned(minimum)
        w.unsigned(maximum)
      }
      if (this.table) {
        w.name(this.table.module)
        w.name(this.table.name)
        w.byte(1)
        w.byte(0x70)
        w.byte(0)
        w.unsigned(this.table.minimum)
      }
    })
    section(3, w => {
      w.unsigned(this.functions.length)
      for (const { type } of this.functions) w.unsigned(type)
    })
    section(7, w => {
      w.unsigned(this.exports.length)
      for (const { name, index } of this.exports) {
        w.name(name)
        w.byte(0)
        w.unsigned(index)
      }
    })
    const { elements } = this
    if (elements) {
      section(9, w => {
        w.unsigned(1)
        w.unsigned(0)
        w.byte(0x41)
        w.signed32(elements.offset)
        w.byte(0x0b)
        w.unsigned(elements.functions.length)
        for (const index of elements.functions) w.unsigned(index)
      })
    }
    const hinted = this.functions.flatMap(({ hints }, i) => (hints.length ? [{ hints, i }] : []))
    if (hinted.length) {
      // WebAssembly branch hinting: unknown to an engine, the section is skipped.
      section(0, w => {
        w.name('metadata.code.branch_hint')
        w.unsigned(hinted.length)
        for (const { hints, i } of hinted) {
          w.unsigned(this.functionImports.length + i)
          w.unsigned(hints.length)
          for (const { offset, likely } of hints) {
            w.unsigned(offset)
            w.unsigned(1)
            w.byte(likely ? 1 : 0)
          }
        }
      })
    }
    section(10, w => {
      w.unsigned(this.functions.length)
      for (const { body, name } of this.functions) {
        if (!body) throw new Error(`function ${name ?? '?'} has no body`)
        w.unsigned(body.length)
        w.raw(body)
      }
    })
    return out.finish()
  }
}

function writeTypes(w: ByteWriter, types: readonly ValueType[]): void {
  w.unsigned(types.length)
  for (const type of types) w.byte(type)
}

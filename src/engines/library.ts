/** Generated functions of one processor: modules are made from builders, linked with what is there already. */
import { ACTIVITY_COMPILING, ACTIVITY_TRANSLATING, type ActivityMarker } from '../cpu/activity.ts'
import type { FunctionBuilder } from '../ir/function.ts'
import { type Routine, routineFunction } from '../isa/semantics.ts'
import { CPU_MEMORY_SIZE, WASM_PAGE } from '../memory/layout.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import { ModuleBuilder } from '../wasm/module.ts'
import type { FunctionType } from '../wasm/types.ts'

/** A function to be compiled. */
export interface Unit {
  name: string
  f: Pick<FunctionBuilder, 'type' | 'calls' | 'emit'>
  uses: Iterable<Routine>
}

/** What modules for a store export: a function that does nothing. */
export const SMALL_FUNCTION = 'small'

function addSmallFunction(module: ModuleBuilder): void {
  const small = module.declare({ params: [], results: [] })
  module.define(small, Uint8Array.of(0, 0x0b))
  module.export(SMALL_FUNCTION, small)
}

/** What was compiled so far, for reports. */
export interface LibraryStatistics {
  modules: number
  bytes: number
  milliseconds: number
}

/**
 * Compiles functions and keeps them by name. A function calls another by its name: one of the same module, one compiled
 * earlier, a routine (compiled when it is first needed) or a TypeScript function of `externals`.
 */
export class CodeLibrary {
  readonly statistics: LibraryStatistics = { modules: 0, bytes: 0, milliseconds: 0 }
  private readonly functions = new Map<string, CallableFunction>()
  private readonly memory: PhysicalMemory
  private readonly table: WebAssembly.Table
  private readonly externals: (name: string) => CallableFunction
  private readonly activity: ActivityMarker | undefined

  /** @param activity is told when V8 compiles */
  constructor(
    memory: PhysicalMemory,
    table: WebAssembly.Table,
    externals: (name: string) => CallableFunction,
    activity?: ActivityMarker,
  ) {
    this.activity = activity
    this.memory = memory
    this.table = table
    this.externals = externals
  }

  /**
   * Compiles functions into one module and instantiates it.
   * @param keep whether later functions may call these by name
   * @returns the functions by name.
   */
  compile(units: readonly Unit[], keep = true): Map<string, CallableFunction> {
    const outside = this.activity?.enter(ACTIVITY_TRANSLATING)
    const bytes = this.assemble(units)
    const made = this.load(bytes, keep ? [] : units.map(unit => unit.name))
    this.activity?.leave(outside!)
    return made
  }

  /**
   * Instantiates a module that {@link assemble} made, now or in another process.
   * @param own names of functions that later ones may not call
   * @param make makes the module of the bytes
   * @returns the functions by name
   */
  load(
    bytes: Uint8Array<ArrayBuffer>,
    own: Iterable<string>,
    make = (code: Uint8Array<ArrayBuffer>) => new WebAssembly.Module(code),
  ): Map<string, CallableFunction> {
    const outside = this.activity?.enter(ACTIVITY_COMPILING)
    const from = performance.now()
    const module = make(bytes)
    this.statistics.milliseconds += performance.now() - from
    const exports = this.instantiate(module, bytes.length)
    this.activity?.leave(outside!)
    const made = new Map<string, CallableFunction>()
    const hidden = new Set([...own, SMALL_FUNCTION])
    for (const [name, f] of Object.entries(exports)) {
      if (!hidden.has(name)) this.functions.set(name, f as CallableFunction)
      made.set(name, f as CallableFunction)
    }
    return made
  }

  /** Instantiates a module. @param length of its bytes @returns what it exports */
  instantiate(module: WebAssembly.Module, length: number): WebAssembly.Exports {
    const from = performance.now()
    const functions: Record<string, CallableFunction> = {}
    for (const { name, kind } of WebAssembly.Module.imports(module)) {
      if (kind === 'function') functions[name] = this.functions.get(name) ?? this.externals(name)
    }
    const instance = new WebAssembly.Instance(module, {
      f: functions as WebAssembly.ModuleImports,
      m: { 0: this.memory.cpuMemory, 1: this.memory.ramMemory },
      t: { 0: this.table },
    })
    this.statistics.milliseconds += performance.now() - from
    this.statistics.modules++
    this.statistics.bytes += length
    return instance.exports
  }

  /**
   * A module of functions and the routines that they need and that were not compiled yet.
   * @param kept it is for a store, and has {@link SMALL_FUNCTION}
   */
  assemble(units: readonly Unit[], kept = false): Uint8Array<ArrayBuffer> {
    const { module, index, all } = this.link(this.withRoutines(units, name => this.functions.has(name)))
    for (const { name } of all) module.export(name, index.get(name)!)
    if (kept) addSmallFunction(module)
    return module.finish()
  }

  /**
   * A module that puts its functions into the table, from an index on, and has all routines that they need: for another
   * process to {@link instantiate}.
   */
  assembleForTable(units: readonly Unit[], from: number): Uint8Array<ArrayBuffer> {
    const { module, index } = this.link(this.withRoutines(units, () => false))
    module.fillTable(
      from,
      units.map(({ name }) => index.get(name)!),
    )
    addSmallFunction(module)
    return module.finish()
  }

  private link(all: readonly Unit[]) {
    const own = new Set(all.map(unit => unit.name))
    const module = new ModuleBuilder()
    const index = new Map<string, number>()
    for (const unit of all) {
      for (const [name, type] of unit.f.calls) {
        if (own.has(name) || index.has(name)) continue
        index.set(name, module.importFunction('f', name, type))
      }
    }
    const pages = (size: number) => Math.ceil(size / WASM_PAGE)
    const { size, arena, placement } = this.memory
    const from = placement.offset
    const state = pages(CPU_MEMORY_SIZE)
    const [least, most] = [pages(from + size), pages(from + arena.limit)]
    if (placement.memory === 0) module.importMemory({ module: 'm', name: '0', minimum: least, maximum: most })
    else {
      module.importMemory({ module: 'm', name: '0', minimum: state, maximum: state })
      module.importMemory({ module: 'm', name: '1', minimum: least, maximum: most })
    }
    module.importTable('t', '0', 0)
    for (const unit of all) index.set(unit.name, module.declare(unit.f.type, unit.name))
    const linker = {
      functionIndex: (name: string) => index.get(name)!,
      typeIndex: (type: FunctionType) => module.type(type),
      ram: placement,
    }
    for (const unit of all) {
      const { body, hints } = unit.f.emit(linker)
      module.define(index.get(unit.name)!, body, hints)
    }
    return { module, index, all }
  }

  /** The functions and every routine that they reach and that is not there yet. */
  private withRoutines(units: readonly Unit[], isThere: (name: string) => boolean): Unit[] {
    const all = [...units]
    const seen = new Set<string>()
    for (let i = 0; i < all.length; i++) {
      for (const routine of all[i].uses) {
        if (seen.has(routine.name) || isThere(routine.name)) continue
        seen.add(routine.name)
        all.push({ name: routine.name, ...routineFunction(routine) })
      }
    }
    return all
  }
}

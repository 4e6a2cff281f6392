/**
 * The main function and the handlers that systems use, as they are kept from one start to the next (engines/code-store.ts): WebAssembly
 * and how each handler's instruction uses things, so that no definition has to be built for either.
 */
import type { Usage } from '../semantics.ts'

/** A handler of a shape. */
export interface PreparedHandler {
  /** The key of its shape (handlers.ts). */
  readonly key: number
  /** The name of its function; of one inside the main function it means nothing. */
  readonly name: string
  readonly usage: Usage
}

/** What a start of the interpreter needs. */
export interface Prepared {
  /** The module of the main function and the slow paths. */
  readonly main: Uint8Array<ArrayBuffer>
  /** The handlers inside the main function, by their indices, from 1 on. */
  readonly inline: readonly PreparedHandler[]
  /** A module of handlers that are functions of their own. */
  readonly others: Uint8Array<ArrayBuffer>
  readonly handlers: readonly PreparedHandler[]
}

/** What is in front of the modules, as JSON. Usages are alike for many handlers, which name them by index. */
interface Header {
  main: number
  others: number
  usages: (Omit<Usage, 'writtenMemory'> & { writtenMemory: number[] })[]
  inline: [key: number, name: string, usage: number][]
  handlers: [key: number, name: string, usage: number][]
}

/** Bytes for a store. */
export function writePrepared({ main, inline, others, handlers }: Prepared): Uint8Array {
  const usages: string[] = []
  const list = (prepared: readonly PreparedHandler[]) =>
    prepared.map(({ key, name, usage }): [number, string, number] => {
      const text = JSON.stringify({ ...usage, writtenMemory: [...usage.writtenMemory] })
      const known = usages.indexOf(text)
      return [key, name, known < 0 ? usages.push(text) - 1 : known]
    })
  const header: Header = {
    main: main.length,
    others: others.length,
    inline: list(inline),
    handlers: list(handlers),
    usages: [],
  }
  header.usages = usages.map(text => JSON.parse(text))
  const text = new TextEncoder().encode(JSON.stringify(header))
  const bytes = new Uint8Array(4 + text.length + main.length + others.length)
  new DataView(bytes.buffer).setUint32(0, text.length, true)
  bytes.set(text, 4)
  bytes.set(main, 4 + text.length)
  bytes.set(others, 4 + text.length + main.length)
  return bytes
}

/** What {@link writePrepared} made, or undefined where the bytes are not whole. */
export function readPrepared(bytes: Uint8Array<ArrayBuffer>): Prepared | undefined {
  if (bytes.length < 4) return undefined
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
  if (4 + length > bytes.length) return undefined
  let header: Header
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) as Header
  } catch {
    return undefined
  }
  const from = 4 + length
  if (from + header.main + header.others !== bytes.length) return undefined
  // Each handler has an object of its own: it stands for the shape.
  const usageOf = (index: number): Usage => {
    const usage = header.usages[index]
    return { ...usage, writtenMemory: new Set(usage.writtenMemory) }
  }
  const list = (handlers: Header['handlers']) =>
    handlers.map(([key, name, usage]): PreparedHandler => ({ key, name, usage: usageOf(usage) }))
  return {
    main: bytes.slice(from, from + header.main),
    inline: list(header.inline),
    others: bytes.slice(from + header.main),
    handlers: list(header.handlers),
  }
}

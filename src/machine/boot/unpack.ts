/**
 * The kernel inside a bzImage, unpacked by the loader: what a guest would spend its first hundred million instructions on.
 * Only LZ4 is known here, the compression of kernels that are to start fast; others unpack themselves.
 *
 * The payload (boot.rst, "payload_offset") is LZ4's legacy frame: a magic number, blocks of up to 8 MiB, each for itself, with
 * their lengths before them, and four bytes behind that Linux's build adds, the length of all of it unpacked (LZ4's
 * lz4_Frame_format.md and lz4_Block_format.md).
 */
import { FunctionBuilder } from '../../ir/function.ts'
import { Int } from '../../ir/values.ts'
import { Code } from '../../isa/semantics.ts'
import { WASM_PAGE } from '../../memory/layout.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { type FunctionType, I32, V128 } from '../../wasm/types.ts'

const LEGACY_MAGIC = 0x184c2102
/** The most that is unpacked here: a kernel has some 50 MiB. */
const MOST_BYTES = 256 << 20
/** Copies go by vectors, and may write and read this much beyond what they are to. */
const SLACK = 64
const VECTOR = 16

/** Takes where a block starts and ends, where its bytes go, and the end of the room there; gives the end of what it filled. */
const UNPACK_TYPE: FunctionType = { params: [I32, I32, I32, I32], results: [I32] }
type Unpack = (from: number, end: number, to: number, room: number) => number

/** The function that unpacks a block. It traps where the block is damaged. */
function unpackFunction(): FunctionBuilder {
  const f = new FunctionBuilder(UNPACK_TYPE)
  const code = new Code(f)
  const parameter = (index: number) => new Int(f, f.getLocal(index, I32), 32)
  const at = code.variable(32, parameter(0))
  const end = parameter(1)
  const to = code.variable(32, parameter(2))
  const start = code.variable(32, parameter(2))
  const room = parameter(3)
  const byte = (address: Int) => new Int(f, f.load(0x2d, I32, 0, address.node, 0), 32)
  const trapIf = (condition: Int) => code.if(condition, () => f.unreachable(), undefined, 'unlikely')
  /** A length of which four bits are known: 15 goes on in bytes, until one is not 255. */
  const lengthOf = (nibble: Int) => {
    const length = code.variable(32, nibble)
    code.if(length.value.eq(15), () => {
      const more = code.variable(32, 255)
      code.while(
        () => more.value.eq(255),
        () => {
          trapIf(at.value.geU(end))
          more.value = byte(at.value)
          at.value = at.value.add(1)
          length.value = length.value.add(more.value)
        },
      )
    })
    return length
  }
  const copyVector = (source: Int, target: Int) =>
    f.store(0xfd0b, 0, target.node, f.load(0xfd00, V128, 0, source.node, 0), 0)
  /** Copies at least `length` bytes from where they may overlap by no less than a vector: mostly one vector does. */
  const copyVectors = (from: Int, length: Int) => {
    copyVector(from, to.value)
    code.if(
      length.gtU(VECTOR),
      () => {
        const source = code.variable(32, from.add(VECTOR))
        const target = code.variable(32, to.value.add(VECTOR))
        const last = code.variable(32, to.value.add(length)).value
        f.loop(again => {
          copyVector(source.value, target.value)
          source.value = source.value.add(VECTOR)
          target.value = target.value.add(VECTOR)
          f.branchIf(target.value.ltU(last).node, again)
        })
      },
      undefined,
      'unlikely',
    )
  }
  code.block(done => {
    f.loop(next => {
      trapIf(at.value.geU(end))
      const token = code.variable(32, byte(at.value)).value
      at.value = at.value.add(1)
      const literals = lengthOf(token.shr(4)).value
      trapIf(literals.gtU(end.sub(at.value)))
      trapIf(literals.gtU(room.sub(to.value)))
      copyVectors(at.value, literals)
      at.value = at.value.add(literals)
      to.value = to.value.add(literals)
      // The last sequence has literals only.
      code.leave(done, at.value.eq(end))
      trapIf(end.sub(at.value).ltU(2))
      const distance = code.variable(32, new Int(f, f.load(0x2f, I32, 0, at.value.node, 0), 32)).value
      at.value = at.value.add(2)
      const length = code.variable(32, lengthOf(token.and(15)).value.add(4)).value
      trapIf(distance.isZero())
      trapIf(distance.gtU(to.value.sub(start.value)))
      trapIf(length.gtU(room.sub(to.value)))
      code.if(
        distance.geU(VECTOR),
        () => {
          copyVectors(to.value.sub(distance), length)
          to.value = to.value.add(length)
        },
        () => {
          const last = code.variable(32, to.value.add(length)).value
          code.while(
            () => to.value.ltU(last),
            () => {
              f.store(0x3a, 0, to.value.node, byte(to.value.sub(distance)).node, 0)
              to.value = to.value.add(1)
            },
          )
        },
      )
      f.branch(next)
    })
  })
  f.return(to.value.node)
  f.unreachable()
  return f
}

/** A memory of so many bytes, and what unpacks blocks in it. */
function makeUnpack(bytes: number): { memory: Uint8Array; unpack: Unpack } {
  const pages = Math.ceil(bytes / WASM_PAGE)
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  const module = new ModuleBuilder()
  module.importMemory({ module: 'm', name: '0', minimum: pages, maximum: pages })
  const index = module.declare(UNPACK_TYPE, 'unpack')
  const { body, hints } = unpackFunction().emit({ functionIndex: () => 0, typeIndex: type => module.type(type) })
  module.define(index, body, hints)
  module.export('unpack', index)
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { m: { 0: memory } })
  return { memory: new Uint8Array(memory.buffer), unpack: exports.unpack as Unpack }
}

/**
 * Unpacks the payload of a bzImage.
 * @param payload LZ4's legacy frame and the length behind it
 * @returns undefined when it is compressed otherwise, or damaged: then the kernel's own code is to see to it
 */
export function unpackPayload(payload: Uint8Array): Uint8Array | undefined {
  if (payload.length < 12) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  if (view.getUint32(0, true) !== LEGACY_MAGIC) return undefined
  const end = payload.length - 4
  const length = view.getUint32(end, true)
  if (length === 0 || length > MOST_BYTES) return undefined
  const output = payload.length + SLACK
  const { memory, unpack } = makeUnpack(output + length + SLACK)
  memory.set(payload)
  let to = output
  try {
    for (let at = 4; at < end; ) {
      if (at + 4 > end) return undefined
      const size = view.getUint32(at, true)
      at += 4
      // A frame may follow a frame.
      if (size === LEGACY_MAGIC) continue
      if (at + size > end) return undefined
      to = unpack(at, at + size, to, output + length)
      at += size
    }
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) return undefined
    throw error
  }
  return to === output + length ? memory.subarray(output, output + length) : undefined
}

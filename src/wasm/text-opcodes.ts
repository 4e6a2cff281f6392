/** WebAssembly's operations by their encoding: name and number of operands (core specification, sections 5.4 and 7.10). */
import * as simd from './simd.ts'

/** An operation that takes its operands from the stack and has no immediate but those that `immediate` names. */
export interface Operation {
  readonly name: string
  readonly operands: number
  /** What follows the opcode. */
  readonly immediate: 'none' | 'lane' | 'shuffle' | 'v128' | 'memory'
  /** Whether it leaves a value. */
  readonly result: boolean
}

const operation = (
  name: string,
  operands: number,
  immediate: Operation['immediate'] = 'none',
  result = true,
): Operation => ({ name, operands, immediate, result })

/** Fills consecutive opcodes. */
function row(into: Map<number, Operation>, first: number, names: string, make: (name: string) => Operation): void {
  names
    .trim()
    .split(/\s+/)
    .forEach((name, i) => {
      into.set(first + i, make(name))
    })
}

const load = (name: string) => operation(name, 1, 'memory')
const store = (name: string) => operation(name, 2, 'memory', false)
const unary = (name: string) => operation(name, 1)
const binary = (name: string) => operation(name, 2)

/** The one-byte opcodes that are neither control flow, variables nor constants. */
export const OPERATIONS: ReadonlyMap<number, Operation> = makeOperations()

function makeOperations(): Map<number, Operation> {
  const map = new Map<number, Operation>()
  map.set(0x1a, operation('drop', 1, 'none', false))
  map.set(0x1b, operation('select', 3))
  row(map, 0x28, 'i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u', load)
  row(map, 0x30, 'i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u', load)
  row(map, 0x36, 'i32.store i64.store f32.store f64.store i32.store8 i32.store16', store)
  row(map, 0x3c, 'i64.store8 i64.store16 i64.store32', store)
  const comparisons = 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u'
  const floatComparisons = 'eq ne lt gt le ge'
  const arithmetic = 'add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr'
  const floatUnary = 'abs neg ceil floor trunc nearest sqrt'
  const floatBinary = 'add sub mul div min max copysign'
  const of = (type: string, make: (name: string) => Operation) => (name: string) => make(`${type}.${name}`)
  row(map, 0x45, 'eqz', of('i32', unary))
  row(map, 0x46, comparisons, of('i32', binary))
  row(map, 0x50, 'eqz', of('i64', unary))
  row(map, 0x51, comparisons, of('i64', binary))
  row(map, 0x5b, floatComparisons, of('f32', binary))
  row(map, 0x61, floatComparisons, of('f64', binary))
  row(map, 0x67, 'clz ctz popcnt', of('i32', unary))
  row(map, 0x6a, arithmetic, of('i32', binary))
  row(map, 0x79, 'clz ctz popcnt', of('i64', unary))
  row(map, 0x7c, arithmetic, of('i64', binary))
  row(map, 0x8b, floatUnary, of('f32', unary))
  row(map, 0x92, floatBinary, of('f32', binary))
  row(map, 0x99, floatUnary, of('f64', unary))
  row(map, 0xa0, floatBinary, of('f64', binary))
  row(map, 0xa7, 'i32.wrap_i64 i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u', unary)
  row(map, 0xac, 'i64.extend_i32_s i64.extend_i32_u', unary)
  row(map, 0xae, 'i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u', unary)
  row(map, 0xb2, 'f32.convert_i32_s f32.convert_i32_u f32.convert_i64_s f32.convert_i64_u f32.demote_f64', unary)
  row(map, 0xb7, 'f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u f64.promote_f32', unary)
  row(map, 0xbc, 'i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64', unary)
  row(map, 0xc0, 'i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s', unary)
  return map
}

/** The operations after the prefix 0xfc. */
export const SATURATING: ReadonlyMap<number, Operation> = new Map(
  ['i32', 'i64'].flatMap((to, i) =>
    ['f32_s', 'f32_u', 'f64_s', 'f64_u'].map((from, j) => [i * 4 + j, unary(`${to}.trunc_sat_${from}`)] as const),
  ),
)

/** Names of vector operations with one operand. */
const ONE_OPERAND =
  /splat|extract_lane|\.(abs|neg|not|popcnt|any_true|all_true|bitmask|sqrt|ceil|floor|trunc|nearest)$|extend_|extadd|convert|demote|promote|trunc_sat/

/** The operations after the prefix 0xfd. */
export const VECTOR_OPERATIONS: ReadonlyMap<number, Operation> = makeVectorOperations()

function makeVectorOperations(): Map<number, Operation> {
  const map = new Map<number, Operation>()
  row(map, 0, 'v128.load v128.load8x8_s v128.load8x8_u v128.load16x4_s v128.load16x4_u v128.load32x2_s', load)
  row(map, 6, 'v128.load32x2_u v128.load8_splat v128.load16_splat v128.load32_splat v128.load64_splat', load)
  map.set(11, store('v128.store'))
  map.set(12, operation('v128.const', 0, 'v128'))
  row(map, 92, 'v128.load32_zero v128.load64_zero', load)
  // The house's own names for the rest are the specification's in upper case.
  for (const [constant, number] of Object.entries(simd)) {
    if (typeof number !== 'number') continue
    const name = constant.toLowerCase().replace('_', '.')
    const operands = ONE_OPERAND.test(name) ? 1 : name === 'v128.bitselect' ? 3 : 2
    map.set(number, operation(name, operands, name.includes('_lane') ? 'lane' : 'none'))
  }
  map.set(13, operation('i8x16.shuffle', 2, 'shuffle'))
  return map
}

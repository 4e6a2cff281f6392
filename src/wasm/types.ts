/** WebAssembly value types by their encoding (core specification, section 5.3). */
export const I32 = 0x7f
export const I64 = 0x7e
export const F32 = 0x7d
export const F64 = 0x7c
export const V128 = 0x7b

/** A value type. */
export type ValueType = 0x7f | 0x7e | 0x7d | 0x7c | 0x7b

/** Parameters and results of a function. */
export interface FunctionType {
  params: readonly ValueType[]
  results: readonly ValueType[]
}

/**
 * WebAssembly's fixed-width SIMD operations by their number after the prefix byte 0xfd (core specification, 5.4.8).
 * The names are the specification's in upper case: `i8x16.add_sat_s` is I8X16_ADD_SAT_S. Give them to `Vector.op`,
 * `Vector.toInt` and `Vector.toFloat` of src/ir/values.ts.
 */

// Lane access (core specification, 4.3.6)
export const I8X16_SHUFFLE = 13
export const I8X16_SWIZZLE = 14
export const I8X16_SPLAT = 15
export const I16X8_SPLAT = 16
export const I32X4_SPLAT = 17
export const I64X2_SPLAT = 18
export const F32X4_SPLAT = 19
export const F64X2_SPLAT = 20
export const I8X16_EXTRACT_LANE_S = 21
export const I8X16_EXTRACT_LANE_U = 22
export const I8X16_REPLACE_LANE = 23
export const I16X8_EXTRACT_LANE_S = 24
export const I16X8_EXTRACT_LANE_U = 25
export const I16X8_REPLACE_LANE = 26
export const I32X4_EXTRACT_LANE = 27
export const I32X4_REPLACE_LANE = 28
export const I64X2_EXTRACT_LANE = 29
export const I64X2_REPLACE_LANE = 30
export const F32X4_EXTRACT_LANE = 31
export const F32X4_REPLACE_LANE = 32
export const F64X2_EXTRACT_LANE = 33
export const F64X2_REPLACE_LANE = 34

// i8x16 comparisons
export const I8X16_EQ = 35
export const I8X16_NE = 36
export const I8X16_LT_S = 37
export const I8X16_LT_U = 38
export const I8X16_GT_S = 39
export const I8X16_GT_U = 40
export const I8X16_LE_S = 41
export const I8X16_LE_U = 42
export const I8X16_GE_S = 43
export const I8X16_GE_U = 44

// i16x8 comparisons
export const I16X8_EQ = 45
export const I16X8_NE = 46
export const I16X8_LT_S = 47
export const I16X8_LT_U = 48
export const I16X8_GT_S = 49
export const I16X8_GT_U = 50
export const I16X8_LE_S = 51
export const I16X8_LE_U = 52
export const I16X8_GE_S = 53
export const I16X8_GE_U = 54

// i32x4 comparisons
export const I32X4_EQ = 55
export const I32X4_NE = 56
export const I32X4_LT_S = 57
export const I32X4_LT_U = 58
export const I32X4_GT_S = 59
export const I32X4_GT_U = 60
export const I32X4_LE_S = 61
export const I32X4_LE_U = 62
export const I32X4_GE_S = 63
export const I32X4_GE_U = 64

// i64x2 comparisons: signed only
export const I64X2_EQ = 214
export const I64X2_NE = 215
export const I64X2_LT_S = 216
export const I64X2_GT_S = 217
export const I64X2_LE_S = 218
export const I64X2_GE_S = 219

// f32x4 comparisons
export const F32X4_EQ = 65
export const F32X4_NE = 66
export const F32X4_LT = 67
export const F32X4_GT = 68
export const F32X4_LE = 69
export const F32X4_GE = 70

// f64x2 comparisons
export const F64X2_EQ = 71
export const F64X2_NE = 72
export const F64X2_LT = 73
export const F64X2_GT = 74
export const F64X2_LE = 75
export const F64X2_GE = 76

// Bitwise
export const V128_NOT = 77
export const V128_AND = 78
export const V128_ANDNOT = 79
export const V128_OR = 80
export const V128_XOR = 81
export const V128_BITSELECT = 82
export const V128_ANY_TRUE = 83

// i8x16 arithmetic and conversion
export const I8X16_ABS = 96
export const I8X16_NEG = 97
export const I8X16_POPCNT = 98
export const I8X16_ALL_TRUE = 99
export const I8X16_BITMASK = 100
export const I8X16_NARROW_I16X8_S = 101
export const I8X16_NARROW_I16X8_U = 102
export const I8X16_SHL = 107
export const I8X16_SHR_S = 108
export const I8X16_SHR_U = 109
export const I8X16_ADD = 110
export const I8X16_ADD_SAT_S = 111
export const I8X16_ADD_SAT_U = 112
export const I8X16_SUB = 113
export const I8X16_SUB_SAT_S = 114
export const I8X16_SUB_SAT_U = 115
export const I8X16_MIN_S = 118
export const I8X16_MIN_U = 119
export const I8X16_MAX_S = 120
export const I8X16_MAX_U = 121
export const I8X16_AVGR_U = 123

// i16x8 arithmetic and conversion
export const I16X8_EXTADD_PAIRWISE_I8X16_S = 124
export const I16X8_EXTADD_PAIRWISE_I8X16_U = 125
export const I16X8_ABS = 128
export const I16X8_NEG = 129
export const I16X8_Q15MULR_SAT_S = 130
export const I16X8_ALL_TRUE = 131
export const I16X8_BITMASK = 132
export const I16X8_NARROW_I32X4_S = 133
export const I16X8_NARROW_I32X4_U = 134
export const I16X8_EXTEND_LOW_I8X16_S = 135
export const I16X8_EXTEND_HIGH_I8X16_S = 136
export const I16X8_EXTEND_LOW_I8X16_U = 137
export const I16X8_EXTEND_HIGH_I8X16_U = 138
export const I16X8_SHL = 139
export const I16X8_SHR_S = 140
export const I16X8_SHR_U = 141
export const I16X8_ADD = 142
export const I16X8_ADD_SAT_S = 143
export const I16X8_ADD_SAT_U = 144
export const I16X8_SUB = 145
export const I16X8_SUB_SAT_S = 146
export const I16X8_SUB_SAT_U = 147
export const I16X8_MUL = 149
export const I16X8_MIN_S = 150
export const I16X8_MIN_U = 151
export const I16X8_MAX_S = 152
export const I16X8_MAX_U = 153
export const I16X8_AVGR_U = 155
export const I16X8_EXTMUL_LOW_I8X16_S = 156
export const I16X8_EXTMUL_HIGH_I8X16_S = 157
export const I16X8_EXTMUL_LOW_I8X16_U = 158
export const I16X8_EXTMUL_HIGH_I8X16_U = 159

// i32x4 arithmetic and conversion
export const I32X4_EXTADD_PAIRWISE_I16X8_S = 126
export const I32X4_EXTADD_PAIRWISE_I16X8_U = 127
export const I32X4_ABS = 160
export const I32X4_NEG = 161
export const I32X4_ALL_TRUE = 163
export const I32X4_BITMASK = 164
export const I32X4_EXTEND_LOW_I16X8_S = 167
export const I32X4_EXTEND_HIGH_I16X8_S = 168
export const I32X4_EXTEND_LOW_I16X8_U = 169
export const I32X4_EXTEND_HIGH_I16X8_U = 170
export const I32X4_SHL = 171
export const I32X4_SHR_S = 172
export const I32X4_SHR_U = 173
export const I32X4_ADD = 174
export const I32X4_SUB = 177
export const I32X4_MUL = 181
export const I32X4_MIN_S = 182
export const I32X4_MIN_U = 183
export const I32X4_MAX_S = 184
export const I32X4_MAX_U = 185
export const I32X4_DOT_I16X8_S = 186
export const I32X4_EXTMUL_LOW_I16X8_S = 188
export const I32X4_EXTMUL_HIGH_I16X8_S = 189
export const I32X4_EXTMUL_LOW_I16X8_U = 190
export const I32X4_EXTMUL_HIGH_I16X8_U = 191
export const I32X4_TRUNC_SAT_F32X4_S = 248
export const I32X4_TRUNC_SAT_F32X4_U = 249
export const I32X4_TRUNC_SAT_F64X2_S_ZERO = 252
export const I32X4_TRUNC_SAT_F64X2_U_ZERO = 253

// i64x2 arithmetic and conversion
export const I64X2_ABS = 192
export const I64X2_NEG = 193
export const I64X2_ALL_TRUE = 195
export const I64X2_BITMASK = 196
export const I64X2_EXTEND_LOW_I32X4_S = 199
export const I64X2_EXTEND_HIGH_I32X4_S = 200
export const I64X2_EXTEND_LOW_I32X4_U = 201
export const I64X2_EXTEND_HIGH_I32X4_U = 202
export const I64X2_SHL = 203
export const I64X2_SHR_S = 204
export const I64X2_SHR_U = 205
export const I64X2_ADD = 206
export const I64X2_SUB = 209
export const I64X2_MUL = 213
export const I64X2_EXTMUL_LOW_I32X4_S = 220
export const I64X2_EXTMUL_HIGH_I32X4_S = 221
export const I64X2_EXTMUL_LOW_I32X4_U = 222
export const I64X2_EXTMUL_HIGH_I32X4_U = 223

// f32x4 arithmetic and conversion
export const F32X4_DEMOTE_F64X2_ZERO = 94
export const F32X4_CEIL = 103
export const F32X4_FLOOR = 104
export const F32X4_TRUNC = 105
export const F32X4_NEAREST = 106
export const F32X4_ABS = 224
export const F32X4_NEG = 225
export const F32X4_SQRT = 227
export const F32X4_ADD = 228
export const F32X4_SUB = 229
export const F32X4_MUL = 230
export const F32X4_DIV = 231
export const F32X4_MIN = 232
export const F32X4_MAX = 233
export const F32X4_PMIN = 234
export const F32X4_PMAX = 235
export const F32X4_CONVERT_I32X4_S = 250
export const F32X4_CONVERT_I32X4_U = 251

// f64x2 arithmetic and conversion
export const F64X2_PROMOTE_LOW_F32X4 = 95
export const F64X2_CEIL = 116
export const F64X2_FLOOR = 117
export const F64X2_TRUNC = 122
export const F64X2_NEAREST = 148
export const F64X2_ABS = 236
export const F64X2_NEG = 237
export const F64X2_SQRT = 239
export const F64X2_ADD = 240
export const F64X2_SUB = 241
export const F64X2_MUL = 242
export const F64X2_DIV = 243
export const F64X2_MIN = 244
export const F64X2_MAX = 245
export const F64X2_PMIN = 246
export const F64X2_PMAX = 247
export const F64X2_CONVERT_LOW_I32X4_S = 254
export const F64X2_CONVERT_LOW_I32X4_U = 255

/** The immediate byte of an operation on one lane. */
export const laneImmediate = (lane: number): Uint8Array => Uint8Array.of(lane)

/**
 * The 16 immediate bytes of a shuffle by lanes of `size` bytes: lane numbers of the first vector, then on into the second.
 */
export function shuffleImmediate(size: 1 | 2 | 4 | 8, lanes: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(16)
  lanes.forEach((lane, i) => {
    for (let k = 0; k < size; k++) bytes[i * size + k] = lane * size + k
  })
  return bytes
}

/** The 16 bytes of a vector of equal lanes of `size` bytes, little endian, from a value. */
export function splatBytes(size: 1 | 2 | 4 | 8, value: number | bigint): Uint8Array {
  return laneBytes(size, new Array(16 / size).fill(value))
}

/** The 16 bytes of a vector from its lanes of `size` bytes each, little endian. */
export function laneBytes(size: 1 | 2 | 4 | 8, lanes: readonly (number | bigint)[]): Uint8Array {
  const bytes = new Uint8Array(16)
  lanes.forEach((lane, i) => {
    let rest = BigInt.asUintN(64, BigInt(lane))
    for (let k = 0; k < size; k++) {
      bytes[i * size + k] = Number(rest & 0xffn)
      rest >>= 8n
    }
  })
  return bytes
}

// Relaxed SIMD (release 3.0 of the core specification): the first operand times the second, plus the third
export const F32X4_RELAXED_MADD = 261
export const F32X4_RELAXED_NMADD = 262
export const F64X2_RELAXED_MADD = 263
export const F64X2_RELAXED_NMADD = 264

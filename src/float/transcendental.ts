/**
 * The functions of the x87's transcendental instructions in integers of some hundred bits: results are right to more than 120
 * bits, so that rounding them to 64 is right but for one case in 2^50. Large angles are
 * reduced as the processors do it, with 66 bits of pi.
 */

/** A number that is not zero: mantissa * 2^exponent, negative or not; `exact` if nothing was cut off. */
export interface Big {
  readonly negative: boolean
  readonly mantissa: bigint
  readonly exponent: number
  readonly exact: boolean
}

/** Fraction bits of fixed-point numbers. */
const BITS = 256
const FRACTION = BigInt(BITS)
const ONE = 1n << FRACTION

/** Below this power of two, series have one term that matters, and a second one that decides directed rounding. */
const TINY = -70

const lengthOf = (x: bigint): number => x.toString(2).length
/** The power of two just below or at the magnitude. */
const scaleOf = (x: Big): number => x.exponent + lengthOf(x.mantissa) - 1
const inexact = (negative: boolean, mantissa: bigint, exponent: number): Big => ({
  negative,
  mantissa,
  exponent,
  exact: false,
})
/** A fixed-point number, which may be negative. */
const fromFixed = (value: bigint, exact = false): Big => ({
  negative: value < 0n,
  mantissa: value < 0n ? -value : value,
  exponent: -BITS,
  exact,
})
/** The magnitude as a fixed-point number; what is below is cut off. */
const toFixed = (x: Big): bigint => {
  const shift = x.exponent + BITS
  return shift >= 0 ? x.mantissa << BigInt(shift) : x.mantissa >> BigInt(-shift)
}
const multiply = (a: bigint, b: bigint): bigint => (a * b) >> FRACTION

/** The sum of ±s^(2k+1) / (2k+1): arctangent (alternating) or area tangent of a small fixed-point number. */
function oddSeries(s: bigint, alternating: boolean, one = ONE): bigint {
  let power = s
  let sum = s
  const square = (s * s) / one
  for (let k = 3n; power !== 0n; k += 2n) {
    power = (power * square) / one
    sum += alternating && k % 4n === 3n ? -power / k : power / k
  }
  return sum
}

/** Pi (Machin's formula). */
const PI = 4n * (4n * oddSeries(ONE / 5n, true) - oddSeries(ONE / 239n, true))
/** Pi as the processors know it when they reduce arguments: 66 bits (SDM vol. 1, 8.3.8). Programs have come to rely on it. */
const PI_66 = 0xc90fdaa22168c234cn << (FRACTION - 66n)
const LN2 = 2n * oddSeries(ONE / 3n, false)

/** Sine and cosine of a magnitude below 2^63, as fixed-point numbers. */
function sineCosine(x: Big): { sine: bigint; cosine: bigint } {
  const wide = toFixed(x)
  const half = PI_66 >> 1n
  let quadrant = wide / half
  let r = wide - quadrant * half
  if (r > half >> 1n) {
    r -= half
    quadrant++
  }
  const square = multiply(r, r)
  let sine = r
  let cosine = ONE
  let term = ONE
  for (let n = 1n; term !== 0n; n += 2n) {
    term = -multiply(term, square) / (n * (n + 1n))
    cosine += term
    sine += multiply(term, r) / (n + 2n)
    if (term === -1n) break
  }
  switch (quadrant & 3n) {
    case 0n:
      return { sine, cosine }
    case 1n:
      return { sine: cosine, cosine: -sine }
    case 2n:
      return { sine: -sine, cosine: -cosine }
    default:
      return { sine: -cosine, cosine: sine }
  }
}

/** x * (1 ± what is far too little to matter but to directed rounding). */
const nearly = (x: Big, above: boolean): Big =>
  inexact(x.negative, (x.mantissa << 80n) + (above ? 1n : -1n), x.exponent - 80)

const withSign = (x: Big, negative: boolean): Big => ({ ...x, negative: x.negative !== negative })

/** Sine; |x| < 2^63. */
export function sine(x: Big): Big {
  if (scaleOf(x) < TINY / 2) return nearly(x, false)
  return withSign(fromFixed(sineCosine(x).sine), x.negative)
}

/** Cosine; |x| < 2^63. */
export function cosine(x: Big): Big {
  if (scaleOf(x) < TINY) return fromFixed(ONE - 1n)
  return fromFixed(sineCosine(x).cosine)
}

/** Tangent; |x| < 2^63. */
export function tangent(x: Big): Big {
  if (scaleOf(x) < TINY / 2) return nearly(x, true)
  const { sine, cosine } = sineCosine(x)
  const quotient = (sine << FRACTION) / cosine
  return withSign(fromFixed(quotient), x.negative)
}

/** Arctangents of i / 32, in fixed point, made when first needed. */
const arctangents: bigint[] = []
function arctangentOfStep(i: number): bigint {
  if (arctangents[i] === undefined) {
    // From the one before: the difference of two arctangents is that of (a - b) / (1 + ab).
    const [a, b] = [BigInt(i), BigInt(i - 1)]
    arctangents[i] = i === 0 ? 0n : arctangentOfStep(i - 1) + oddSeries((32n * ONE) / (1024n + a * b), true)
  }
  return arctangents[i]
}

/** Arctangent of a fixed-point number from 0 to 1. */
function arctangentFixed(z: bigint): bigint {
  const i = Number(z >> (FRACTION - 5n))
  const c = (BigInt(i) * ONE) / 32n
  return arctangentOfStep(i) + oddSeries(((z - c) << FRACTION) / (ONE + multiply(z, c)), true)
}

/** The angle of the point (x, y), both finite and not zero, in (-pi, pi). */
export function arctangent(y: Big, x: Big): Big {
  const difference = scaleOf(y) - scaleOf(x)
  if (difference < -60 && !x.negative) {
    const shift = 400n
    const quotient = ((y.mantissa << shift) / x.mantissa) * (1n << 80n)
    const small = inexact(y.negative, quotient, y.exponent - x.exponent - 480)
    // Minus a third of the cube: what there is of it at this length.
    const cube = difference < -240 ? 1n : (quotient >> BigInt(-2 * difference)) / 3n
    return { ...small, mantissa: quotient - cube - 1n }
  }
  const ratio = (a: Big, b: Big): bigint => {
    const shift = a.exponent - b.exponent + BITS
    return shift >= 0 ? (a.mantissa << BigInt(shift)) / b.mantissa : (a.mantissa >> BigInt(-shift)) / b.mantissa
  }
  const swap = difference > 0 || (difference === 0 && ratio(y, x) > ONE)
  const angle = swap ? (PI >> 1n) - arctangentFixed(ratio(x, y)) : arctangentFixed(ratio(y, x))
  return withSign(fromFixed(x.negative ? PI - angle : angle), y.negative)
}

/** Fixed-point pi times a quarter's multiple: the results of FPATAN for zeros and infinities. */
export const quarterPi = (quarters: number, negative: boolean): Big =>
  withSign(fromFixed((PI * BigInt(quarters)) / 4n), negative)

/** Logarithms to base e of 1 + i / 32, made when first needed. */
const logarithms: bigint[] = []
function logarithmOfStep(i: number): bigint {
  logarithms[i] ??= i === 0 ? 0n : logarithmOfStep(i - 1) + 2n * oddSeries(ONE / BigInt(2 * (31 + i) + 1), false)
  return logarithms[i]
}

/** log2 of a positive fixed-point number. */
function logarithm2(value: bigint): bigint {
  const power = lengthOf(value) - 1 - BITS
  const m = power >= 0 ? value >> BigInt(power) : value << BigInt(-power)
  const i = Number((m - ONE) >> (FRACTION - 5n))
  const c = ONE + (BigInt(i) * ONE) / 32n
  const ln = logarithmOfStep(i) + 2n * oddSeries(((m - c) << FRACTION) / (m + c), false)
  return BigInt(power) * ONE + (ln << FRACTION) / LN2
}

const product = (a: Big, b: Big): Big => ({
  negative: a.negative !== b.negative,
  mantissa: a.mantissa * b.mantissa,
  exponent: a.exponent + b.exponent,
  exact: a.exact && b.exact,
})

/** y * log2(x), x positive and not 1. */
export function yLogarithm2(y: Big, x: Big): Big {
  const size = lengthOf(x.mantissa)
  const power = scaleOf(x)
  const m = x.mantissa << BigInt(BITS - size + 1)
  if (m === ONE) return product(y, { negative: power < 0, mantissa: BigInt(Math.abs(power)), exponent: 0, exact: true })
  return product(y, fromFixed(BigInt(power) * ONE + logarithm2(m)))
}

/** y * log2(1 + x), x above -1 and not 0. */
export function yLogarithm2Plus1(y: Big, x: Big): Big {
  if (scaleOf(x) < TINY) {
    // x / ln 2, and minus half the square for directed rounding.
    const factor = nearly(inexact(false, (ONE << FRACTION) / LN2, -BITS), x.negative)
    return product(y, product(x, factor))
  }
  const value = ONE + (x.negative ? -toFixed(x) : toFixed(x))
  return product(y, fromFixed(logarithm2(value)))
}

/** 2^x - 1 for |x| <= 1, x not 0. */
export function exponential2Minus1(x: Big): Big {
  if (scaleOf(x) < TINY) return product(x, nearly(inexact(false, LN2, -BITS), !x.negative))
  const fixed = toFixed(x)
  if (fixed === ONE) return fromFixed(x.negative ? -ONE >> 1n : ONE, true)
  const t = multiply(x.negative ? -fixed : fixed, LN2)
  let sum = 0n
  let term = ONE
  for (let n = 1n; term !== 0n && term !== -1n; n++) {
    term = multiply(term, t) / n
    sum += term
  }
  return fromFixed(sum)
}

/** Values that are something and a number, as the addresses of accesses are: what of an address is known from how it was built. */

import { I64 } from '../wasm/types.ts'
import type { Node } from './node.ts'
import { ADD, constantOf, EXTEND_U, SHL, SUB, WRAP } from './values.ts'

/** Whether a value is the sum of two others. */
export const isSum = ({ op }: Node): boolean => ADD.includes(op)
/** Whether a value is another one, shifted to the left. */
export const isShiftedLeft = ({ op }: Node): boolean => SHL.includes(op)
/** Whether a value is the low half of another one. */
export const isLowHalf = ({ op }: Node): boolean => op === WRAP
/** Whether a value is another one of 32 bits, zero-extended. */
export const isZeroExtended = ({ op }: Node): boolean => op === EXTEND_U

/** The number that a value is more than its first operand, signed; undefined if it is anything else. */
export function addedNumber({ op, args }: Node): bigint | undefined {
  const sign = ADD.includes(op) ? 1n : SUB.includes(op) ? -1n : undefined
  const number = sign && constantOf(args[1])
  return number === undefined ? undefined : sign! * BigInt.asIntN(args[1].type === I64 ? 64 : 32, number)
}

/**
 * How far a value is from the one that it was made of, by additions of numbers and changes of width alone.
 * @param isStart tells that one
 * @returns undefined if it was made in any other way
 */
export function distanceFrom(value: Node, isStart: (node: Node) => boolean): number | undefined {
  let distance = 0
  for (let node = value; !isStart(node); node = node.args[0]) {
    const by = addedNumber(node)
    if (by !== undefined) distance += Number(by)
    else if (!isLowHalf(node) && !isZeroExtended(node)) return undefined
  }
  return distance
}

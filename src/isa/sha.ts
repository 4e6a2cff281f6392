/** SHA-1 and SHA-256 steps (SDM vol. 2, SHA1MSG1 to SHA256RNDS2; FIPS 180-4). */
import { type Int, Vector } from '../ir/values.ts'
import { type Instruction, instruction } from './definition.ts'
import { type Code, type Operand, routine, type VectorOperand } from './semantics.ts'

/** A vector of doublewords, from lane 0 on. */
const pack = (lanes: readonly Int[]): Vector =>
  lanes.slice(1).reduce((vector, lane, i) => vector.withLane(i + 1, lane), Vector.splat(lanes[0]))

const lanes = (vector: Vector): Int[] => [0, 1, 2, 3].map(n => vector.lane(32, n))

const choose = (x: Int, y: Int, z: Int): Int => y.xor(z).and(x).xor(z)
const parity = (x: Int, y: Int, z: Int): Int => x.xor(y).xor(z)
const majority = (x: Int, y: Int, z: Int): Int => x.and(y).or(z.and(x.or(y)))

/** The function and the constant of each 20 rounds of SHA-1. */
const SHA1_FUNCTIONS = [choose, parity, majority, parity] as const
const SHA1_CONSTANTS = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6] as const

/** Four rounds of SHA-1 with function `n`: state A B C D from lane 3 down, E already added to word 0. */
function sha1Rounds(code: Code, state: Vector, words: Vector, n: number): Vector {
  let [d, c, b, a] = lanes(state)
  let e = code.const(0, 32)
  for (const word of lanes(words).reverse()) {
    const next = SHA1_FUNCTIONS[n](b, c, d).add(a.rotl(5)).add(word).add(e).add(SHA1_CONSTANTS[n])
    e = d
    d = c
    c = b.rotl(30)
    b = a
    a = next
  }
  return pack([d, c, b, a])
}

const sha1FourRounds = SHA1_FUNCTIONS.map((_, n) =>
  routine(`sha1Rounds${n}`, [128, 128], 128, (code, state, words) => sha1Rounds(code, state, words, n)),
)

export const SHA1RNDS4 = instruction<[VectorOperand, VectorOperand, Operand]>('SHA1RNDS4', {
  encodings: ['NP 0F 3A CC /r ib  Vdq,Wdq,Ib'],
  feature: 'sha_ni',
  unit: 'sse',
  execute(m, destination, source, immediate) {
    const words = source.readVector()
    const state = destination.readVector()
    const n = immediate.read().and(3)
    const known = n.constant
    if (known !== undefined) {
      destination.writeVector(m.callVector(sha1FourRounds[Number(known)], state, words))
      return
    }
    destination.writeVector(m.callVector(sha1AnyRounds, state, words, n.zeroExtend(32)))
  },
})

/** Four rounds with a function chosen at run time. */
const sha1AnyRounds = routine('sha1Rounds', [128, 128, 32], 128, (code, state, words, n) => {
  const result = code.vectorVariable(state)
  sha1FourRounds.forEach((rounds, i) => {
    code.if(n.eq(i), () => (result.value = code.callVector(rounds, state, words)))
  })
  return result.value
})

const sha1NextE = routine('sha1NextE', [128, 128], 128, (_code, a, b) =>
  b.withLane(3, b.lane(32, 3).add(a.lane(32, 3).rotl(30))),
)

const sha1Message1 = routine('sha1Message1', [128, 128], 128, (_code, a, b) =>
  // Words 0 to 3 from lane 3 down: each is added to the one two further on.
  a.xor(b.shuffle(4, a, [2, 3, 4, 5])),
)

const sha1Message2 = routine('sha1Message2', [128, 128], 128, (_code, a, b) => {
  const [a3, a2, a1, a0] = lanes(a)
  const [b3, b2, b1] = lanes(b)
  const w16 = a0.xor(b1).rotl(1)
  const w17 = a1.xor(b2).rotl(1)
  const w18 = a2.xor(b3).rotl(1)
  const w19 = a3.xor(w16).rotl(1)
  return pack([w19, w18, w17, w16])
})

const sigma = (value: Int, a: number, b: number, c: number): Int => value.rotr(a).xor(value.rotr(b)).xor(value.rotr(c))
const shiftSigma = (value: Int, a: number, b: number, shift: number): Int =>
  value.rotr(a).xor(value.rotr(b)).xor(value.shr(shift))

/** Two rounds of SHA-256: C D G H in the first vector, A B E F in the second, each from lane 3 down. */
const sha256Rounds = routine('sha256Rounds', [128, 128, 128], 128, (_code, cdgh, abef, words) => {
  let [h, g, d, c] = lanes(cdgh)
  let [f, e, b, a] = lanes(abef)
  for (const word of lanes(words).slice(0, 2)) {
    const t1 = choose(e, f, g)
      .add(sigma(e, 6, 11, 25))
      .add(word)
      .add(h)
    const next = t1.add(majority(a, b, c)).add(sigma(a, 2, 13, 22))
    h = g
    g = f
    f = e
    e = d.add(t1)
    d = c
    c = b
    b = a
    a = next
  }
  return pack([f, e, b, a])
})

const sha256Message1 = routine('sha256Message1', [128, 128], 128, (_code, a, b) => {
  const words = lanes(a)
  const next = [...words.slice(1), b.lane(32, 0)]
  return pack(words.map((word, i) => word.add(shiftSigma(next[i], 7, 18, 3))))
})

const sha256Message2 = routine('sha256Message2', [128, 128], 128, (_code, a, b) => {
  const [a0, a1, a2, a3] = lanes(a)
  const [, , w14, w15] = lanes(b)
  const w16 = a0.add(shiftSigma(w14, 17, 19, 10))
  const w17 = a1.add(shiftSigma(w15, 17, 19, 10))
  const w18 = a2.add(shiftSigma(w16, 17, 19, 10))
  const w19 = a3.add(shiftSigma(w17, 17, 19, 10))
  return pack([w16, w17, w18, w19])
})

const two = (
  [
    ['SHA1NEXTE', 'C8', sha1NextE],
    ['SHA1MSG1', 'C9', sha1Message1],
    ['SHA1MSG2', 'CA', sha1Message2],
    ['SHA256MSG1', 'CC', sha256Message1],
    ['SHA256MSG2', 'CD', sha256Message2],
  ] as const
).map(([mnemonic, opcode, step]) =>
  instruction<[VectorOperand, VectorOperand]>(mnemonic, {
    encodings: [`NP 0F 38 ${opcode} /r  Vdq,Wdq`],
    feature: 'sha_ni',
    unit: 'sse',
    execute(m, destination, source) {
      const b = source.readVector()
      destination.writeVector(m.callVector(step, destination.readVector(), b))
    },
  }),
)

export const SHA256RNDS2 = instruction<[VectorOperand, VectorOperand, VectorOperand]>('SHA256RNDS2', {
  encodings: ['NP 0F 38 CB /r  Vdq,Wdq,XMM0'],
  feature: 'sha_ni',
  unit: 'sse',
  execute(m, destination, source, words) {
    const abef = source.readVector()
    destination.writeVector(m.callVector(sha256Rounds, destination.readVector(), abef, words.readVector()))
  },
})

export const instructions: readonly Instruction[] = [SHA1RNDS4, ...two, SHA256RNDS2]

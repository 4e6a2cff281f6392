import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compare, compareEveryOpcode } from '../../test/decoder/against-iced.ts'
import {
  baseSegment,
  DECODED,
  Decoded,
  type DecodeMode,
  Decoder,
  isHighByte,
  MORE_BYTES,
  NO_REGISTER,
  RIP_BASE,
  TOO_LONG,
  UNDEFINED,
} from './decoder.ts'
import { type Instruction, instruction } from './definition.ts'
import { disassemble } from './disassembler.ts'
import { parseForms } from './encoding.ts'
import { decoder, forms } from './index.ts'

const define = (mnemonic: string, encodings: string[], more: Partial<Instruction> = {}): Instruction =>
  instruction(mnemonic, { encodings, ...more, execute() {} })

// Encodings of every kind, so that these tests do not wait for definitions.
const sample = new Decoder(
  parseForms([
    define('ADD', ['00 /r  Eb,Gb', '01 /r  Ev,Gv', '02 /r  Gb,Eb', '81 /0 iz  Ev,sIz', '83 /0 ib  Ev,sIb'], {
      lockable: true,
    }),
    define('PUSH', ['50+r d64  Zv', '6A ib d64  sIb', '0E i64  CS']),
    define('MOV', [
      '8B /r  Gv,Ev',
      '8E /r  Sw,Ew',
      'A1 moffs  rAX,Ov',
      'B0+r ib  Zb,Ib',
      'B8+r iv  Zv,Iv',
      '0F 20 /r  Ry,Cd',
    ]),
    define('NOP', ['90']),
    define('PAUSE', ['F3 90']),
    define('XCHG', ['90+r  Zv,rAX']),
    define('INC', ['40+r i64  Zv']),
    define('ENTER', ['C8 iw ib d64  Iw,Ib']),
    define('JMP', ['E9 cz f64  Jz', 'EB cb f64  Jb', 'EA ap i64  Ap']),
    define('MOVS', ['A5'], { repeatable: 'rep' }),
    define('CMPS', ['A7'], { repeatable: 'repe/repne' }),
    define('MOVUPS', ['NP 0F 10 /r  Vdq,Wdq']),
    define('MOVUPD', ['66 0F 10 /r  Vdq,Wdq']),
    define('MOVSS', ['F3 0F 10 /r  Vdq,Wd']),
    define('MOVBE', ['NFx 0F 38 F0 /r  Gv,Mv']),
    define('BSF', ['0F BC /r  Gv,Ev']),
    define('TZCNT', ['F3 0F BC /r  Gv,Ev']),
    define('CMPXCHG8B', ['W0 0F C7 /1  Mq'], { lockable: true }),
    define('CMPXCHG16B', ['W1 0F C7 /1  Mdq'], { lockable: true }),
    define('VMCALL', ['0F 01 /0 /rm1']),
    define('SGDT', ['0F 01 /0  M']),
    define('LAR', ['0F 02 /r  Gv,Ew'], { modes: ['protected', 'compatibility', 'long'] }),
  ]),
)

const LONG: DecodeMode = { mode: 'long', codeSize: 64, stackSize: 64 }
const PROTECTED: DecodeMode = { mode: 'protected', codeSize: 32, stackSize: 32 }
const REAL: DecodeMode = { mode: 'real', codeSize: 16, stackSize: 16 }

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text.split(' '), byte => Number.parseInt(byte, 16))

function outcomeOf(mode: DecodeMode, text: string): number {
  const bytes = bytesOf(text)
  return sample.decode(bytes, 0, bytes.length, mode, new Decoded())
}

function decode(mode: DecodeMode, text: string): Decoded {
  const bytes = bytesOf(text)
  const out = new Decoded()
  assert.equal(sample.decode(bytes, 0, bytes.length, mode, out), DECODED, text)
  assert.equal(out.length, bytes.length, text)
  return out
}

test('texts of decoded instructions', () => {
  const cases: [DecodeMode, string, string][] = [
    [LONG, 'f0 64 01 54 88 f0', 'lock add dword ptr fs:[rax+rcx*4-0x10], edx'],
    [LONG, '83 c0 ff', 'add eax, 0xffffffff'],
    [LONG, '48 81 c0 ff ff ff ff', 'add rax, 0xffffffffffffffff'],
    [LONG, '66 83 c0 ff', 'add ax, 0xffff'],
    [LONG, '00 e0', 'add al, ah'],
    [LONG, '40 00 e0', 'add al, spl'],
    [LONG, '48 40 00 e0', 'add al, spl'],
    [LONG, '66 54', 'push sp'],
    [LONG, '41 54', 'push r12'],
    [LONG, '6a fe', 'push 0xfffffffffffffffe'],
    [LONG, '8b 05 10 00 00 00', 'mov eax, dword ptr [0x1016]'],
    [LONG, '67 8b 04 65 10 00 00 00', 'mov eax, dword ptr [0x10]'],
    [LONG, '42 8b 04 65 10 00 00 00', 'mov eax, dword ptr [r12*2+0x10]'],
    [LONG, '41 8b 45 00', 'mov eax, dword ptr [r13]'],
    [LONG, '41 8b 04 24', 'mov eax, dword ptr [r12]'],
    [LONG, 'a1 08 07 06 05 04 03 02 01', 'mov eax, dword ptr [0x102030405060708]'],
    [LONG, '67 a1 08 07 06 f5', 'mov eax, dword ptr [0xf5060708]'],
    [LONG, '49 b8 08 07 06 05 04 03 02 01', 'mov r8, 0x102030405060708'],
    [LONG, 'c8 34 12 05', 'enter 0x1234, 0x5'],
    [LONG, '66 e9 00 00 00 80', 'jmp 0xffffffff80001006'],
    [PROTECTED, '66 e9 00 80', 'jmp 0x9004'],
    [PROTECTED, 'ea 04 03 02 01 34 12', 'jmp 0x1234:0x1020304'],
    [PROTECTED, '66 ea 04 03 34 12', 'jmp 0x1234:0x304'],
    [PROTECTED, '67 8b 42 fe', 'mov eax, dword ptr [bp+si-0x2]'],
    [REAL, '8b 0e 34 12', 'mov cx, word ptr [0x1234]'],
    [REAL, '66 67 8b 0c 24', 'mov ecx, dword ptr [esp]'],
    [PROTECTED, '41', 'inc ecx'],
    [LONG, '90', 'nop'],
    [LONG, '41 90', 'xchg r8d, eax'],
    [LONG, '49 90', 'xchg r8, rax'],
    [LONG, 'f3 90', 'pause'],
    [LONG, 'f3 48 a5', 'rep movsq'],
    [LONG, 'f2 f3 65 a7', 'repe gs cmpsd'],
    [LONG, 'f3 f2 66 a7', 'repne cmpsw'],
    [LONG, '0f 10 c1', 'movups xmm0, xmm1'],
    [LONG, '66 44 0f 10 01', 'movupd xmm8, xmmword ptr [rcx]'],
    [LONG, '66 f3 0f 10 01', 'movss xmm0, dword ptr [rcx]'],
    [LONG, '66 0f 38 f0 01', 'movbe ax, word ptr [rcx]'],
    [LONG, 'f2 0f bc c1', 'bsf eax, ecx'],
    [LONG, '66 f3 0f bc c1', 'tzcnt ax, cx'],
    [LONG, '0f c7 09', 'cmpxchg8b qword ptr [rcx]'],
    [LONG, '48 0f c7 09', 'cmpxchg16b xmmword ptr [rcx]'],
    [LONG, '0f 01 c1', 'vmcall'],
    [LONG, '0f 01 00', 'sgdt [rax]'],
    [LONG, '0f 20 18', 'mov eax, cr3'],
  ]
  for (const [mode, bytes, text] of cases) assert.equal(disassemble(decode(mode, bytes), 0x1000n), text, bytes)
})

test('the fields of a memory operand', () => {
  let d = decode(LONG, '8b 05 f0 ff ff ff')
  assert.deepEqual(
    [d.base, d.index, d.displacement, d.displacementHigh, d.segment],
    [RIP_BASE, NO_REGISTER, -16, -1, 3],
  )
  // SS is the default of rSP and rBP as bases, not of R12 and R13, nor of an absent base.
  assert.equal(decode(LONG, '8b 45 00').segment, 2)
  assert.equal(decode(LONG, '8b 04 24').segment, 2)
  assert.equal(decode(LONG, '41 8b 45 00').segment, 3)
  assert.equal(decode(LONG, '8b 04 2c').segment, 2)
  assert.equal(decode(PROTECTED, '8b 05 00 00 00 00').segment, 3)
  assert.equal(decode(REAL, '8b 42 00').segment, 2)
  // Overrides: the last counts; in 64-bit mode only FS and GS do.
  assert.equal(decode(PROTECTED, '26 36 8b 00').segment, 2)
  assert.equal(decode(LONG, '64 26 8b 00').segment, 4)
  assert.equal(decode(LONG, '26 8b 00').segmentOverride, -1)
  assert.equal(baseSegment(3, 64), 10)
  assert.equal(baseSegment(4, 64), 4)
  assert.equal(baseSegment(3, 32), 3)
  d = decode(LONG, '00 e0')
  assert.ok(isHighByte(d, d.reg))
  assert.ok(!isHighByte(decode(LONG, '40 00 e0'), 4))
})

test('what is undefined', () => {
  const cases: [DecodeMode, string][] = [
    [LONG, '0e'],
    [LONG, 'c4 00'],
    [LONG, 'f0 01 c0'], // LOCK needs a destination in memory
    [LONG, 'f0 02 00'],
    [LONG, 'f0 90'],
    [LONG, '8e c8'], // MOV CS
    [LONG, '8e f0'],
    [LONG, '0f 20 c8'], // CR1
    [LONG, '0f 38 f0 c1'],
    [LONG, 'f3 0f 38 f0 01'],
    [LONG, 'f2 0f 10 c1'],
    [LONG, '0f c7 c9'],
    [LONG, '0f 01 c2'],
    [REAL, '0f 02 c0'],
  ]
  for (const [mode, bytes] of cases) assert.equal(outcomeOf(mode, bytes), UNDEFINED, bytes)
})

test('VEX', () => {
  const forms = parseForms([
    define('ANDN', ['VEX.LZ.0F38 F2 /r  Gy,By,Ey']),
    define('VPADDB', ['VEX.128.66.0F.WIG FC /r  Vx,Hx,Wx', 'VEX.256.66.0F.WIG FC /r  Vx,Hx,Wx']),
    define('VMOVDQU', ['VEX.128.F3.0F.WIG 6F /r  Vx,Wx']),
    define('VPBLENDVB', ['VEX.256.66.0F3A.W0 4C /r /is4  Vx,Hx,Wx,Lx']),
    define('VGATHERDPS', ['VEX.256.66.0F38.W0 92 /r  Vx,VMdy,Hx']),
    define('LES', ['C4 /r i64  Gv,M']),
    define('LDS', ['C5 /r i64  Gv,M']),
  ])
  const decoder = new Decoder(forms)
  const decoded = new Decoded()
  const text = (mode: DecodeMode, bytes: string) => {
    const all = bytesOf(bytes)
    const outcome = decoder.decode(all, 0, all.length, mode, decoded)
    assert.ok(outcome !== DECODED || decoded.length === all.length, bytes)
    return outcome === DECODED ? disassemble(decoded, 0n) : outcome
  }
  const CODE32: DecodeMode = { mode: 'protected', codeSize: 32, stackSize: 32 }
  assert.equal(text(LONG, 'c4 42 90 f2 c1'), 'andn r8, r13, r9')
  assert.equal(text(LONG, 'c4 42 10 f2 c1'), 'andn r8d, r13d, r9d')
  // Outside of 64-bit mode W and the top bits of the registers are ignored.
  assert.equal(text(CODE32, 'c4 c2 90 f2 c1'), 'andn eax, ebp, ecx')
  assert.equal(text(LONG, 'c5 11 fc 00'), 'vpaddb xmm8, xmm13, xmmword ptr [rax]')
  assert.equal(text(LONG, 'c4 a1 15 fc 04 88'), 'vpaddb ymm0, ymm13, ymmword ptr [rax+r9*4]')
  assert.equal(text(CODE32, 'c5 f5 fc c2'), 'vpaddb ymm0, ymm1, ymm2')
  assert.equal(text(LONG, 'c4 e3 75 4c c2 f0'), 'vpblendvb ymm0, ymm1, ymm2, ymm15')
  assert.equal(text(CODE32, 'c4 e3 75 4c c2 f0'), 'vpblendvb ymm0, ymm1, ymm2, ymm7')
  assert.equal(text(LONG, 'c4 e2 75 92 04 a5 10 00 00 00'), 'vgatherdps ymm0, dword ptr [ymm4*4+0x10], ymm1')
  // Memory operands make them LES and LDS, where these exist.
  assert.equal(text(CODE32, 'c5 00'), 'lds eax, [eax]')
  assert.equal(text(CODE32, 'c4 bc 20 10 00 00 00'), 'les edi, [eax+0x10]')
  assert.equal(text(REAL, 'c4 00'), 'les ax, [bx+si]')
  for (const [mode, bytes] of [
    [REAL, 'c5 f5 fc c2'], // VEX is for protected mode
    [LONG, 'f0 c5 f5 fc 00'],
    [LONG, '66 c5 f5 fc c2'],
    [LONG, 'f3 c5 f5 fc c2'],
    [LONG, '48 c5 f5 fc c2'],
    [LONG, 'c4 e0 75 fc c2'], // map 0
    [LONG, 'c4 e4 75 fc c2'], // map 4
    [LONG, 'c4 e2 f4 f2 c1'], // L must be 0
    [LONG, 'c5 f2 6f c1'], // vvvv must be 1111
    [LONG, 'c4 e2 75 92 00'], // no SIB byte
    [LONG, 'c4 e2 7d 92 04 0d 00 00 00 00'], // the same register twice
    [LONG, '67 c4 e2 f5 92 04 a0'], // W must be 0
  ] as const) {
    assert.equal(text(mode, bytes), UNDEFINED, bytes)
  }
})

test('the end of the bytes, and 15 bytes', () => {
  const whole = bytesOf('f0 64 66 81 84 88 01 02 03 04 05 06')
  for (let limit = 0; limit < whole.length; limit++) {
    assert.equal(sample.decode(whole, 0, limit, LONG, new Decoded()), MORE_BYTES, `${limit}`)
  }
  assert.equal(sample.decode(whole, 0, whole.length, LONG, new Decoded()), DECODED)
  const prefixed = (count: number) => `${'66 '.repeat(count)}90`
  assert.equal(outcomeOf(LONG, prefixed(14)), DECODED)
  assert.equal(outcomeOf(LONG, prefixed(15)), TOO_LONG)
  // A page may end within the 15 bytes; beyond them no byte is asked for.
  assert.equal(outcomeOf(LONG, '66 '.repeat(14).trim()), MORE_BYTES)
  assert.equal(outcomeOf(LONG, '66 '.repeat(15).trim()), TOO_LONG)
})

test('encodings that say nonsense are refused', () => {
  const cases: [string, RegExp][] = [
    ['0G /r  Ev,Gv', /encoding '0G \/r {2}Ev,Gv' of X: '0G' is not understood/],
    ['01  Ev,Gv', /operand 'Ev' without a ModRM byte/],
    ['01 /0  Gv', /needs \/r/],
    ['01 /r ib  Ev,Iz', /no immediate bytes for operand 'Iz'/],
    ['01 /r  Ev,Gv2', /'Gv2' is not understood/],
    ['51+r  Zv', /eight opcodes/],
    ['01 02', /'02' after the opcode/],
    ['01 /r mem  Rv,Gv', /register operand 'Rv' with mem/],
    ['d64', /no opcode/],
    ['01 i64 o64', /contradicts/],
  ]
  for (const [encoding, message] of cases) assert.throws(() => parseForms([define('X', [encoding])]), message)
  const pairs = [
    ['01 /r  Ev,Gv', '01 /1  Ev'],
    ['01', '01 /r  Ev,Gv'],
    ['66 0F 01 /r  Ev,Gv', '66 0F 01 /r reg  Rv,Gv'],
  ]
  for (const pair of pairs)
    assert.throws(() => new Decoder(parseForms([define('X', pair)])).prepare(), /cannot be told apart|disagree/)
})

test('all forms can be told apart', () => decoder.prepare())

test('against iced-x86', () => {
  const result = compare(decoder, forms, 15_000, Number(process.env.SEED ?? 1))
  assert.deepEqual([...result.differences], [])
  assert.ok(result.same > 10_000)
})

test('every opcode against iced-x86: nothing differs, and nothing is missing that no extension brings', () => {
  const result = compareEveryOpcode(decoder)
  assert.deepEqual([...result.differences], [])
  assert.deepEqual([...result.missing], [])
})

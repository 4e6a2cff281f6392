import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SERVICE_EFFECTS } from '../cpu/services/effects.ts'
import { services } from '../cpu/services/index.ts'
import { F, GDTR, IF } from '../cpu/state.ts'
import { type Instruction, instruction } from './definition.ts'
import { instructions } from './index.ts'
import { formatListing, listInstructions } from './listing.ts'
import { GP, type Operand, routine, type Semantics } from './semantics.ts'
import { classesOf, isCritical, sensitivities } from './sensitivity.ts'

/** Classes, separated by +, of an instruction with one register or memory operand. */
function classify(execute: (m: Semantics, operand: Operand) => void, more: Partial<Instruction> = {}): string {
  const made = instruction('X', { encodings: ['0F FF /0  Ed'], ...more, execute })
  const [[, sensitivity]] = sensitivities([made])
  return classesOf(sensitivity).join('+') + (isCritical(sensitivity) ? '!' : '')
}

test('what a definition reads and changes', () => {
  assert.equal(
    classify((_m, o) => o.write(o.read().add(1))),
    'innocuous',
  )
  assert.equal(
    classify((m, o) => o.write(m.get(F.cr0))),
    'behaviour sensitive!',
  )
  assert.equal(
    classify((m, o) => m.set(F.cr3, o.read().zeroExtend(64))),
    'control sensitive!',
  )
  assert.equal(
    classify((m, o) => o.write(m.get(F.cr0)), { privilege: 'cpl0' }),
    'privileged+behaviour sensitive',
  )
  assert.equal(
    classify((m, o) => o.write(m.get(F.segmentLimit, GDTR))),
    'behaviour sensitive!',
  )
  // A condition on it is enough, and so is the way through a variable.
  assert.equal(
    classify((m, o) => m.if(m.privilegeLevel.isZero(), () => o.write(1))),
    'behaviour sensitive!',
  )
  assert.equal(
    classify((m, o) => {
      const v = m.variable(32, 0)
      m.if(o.read().isZero(), () => v.set(m.get(F.cr4)))
      o.write(v.value.shr(3))
    }),
    'behaviour sensitive!',
  )
  // What is read for a trap alone is not seen by the program.
  assert.equal(
    classify((m, o) => {
      m.raiseIf(m.privilegeLevel.isNonZero(), GP, 0)
      o.write(1)
    }),
    'privileged',
  )
  assert.equal(
    classify((m, o) => {
      m.raiseIf(m.privilegeLevel.isNonZero().and(m.get(F.cr4).bit(2)), GP, 0)
      o.write(m.get(F.tscOffset).truncate(32))
    }),
    'behaviour sensitive!',
  )
})

test('flags are told apart', () => {
  const image = (mask: number) => classify((m, o) => o.write(m.flags.readImage().and(mask)))
  assert.equal(image(0xcff & ~0x300), 'innocuous')
  assert.equal(image(IF), 'behaviour sensitive!')
  assert.equal(
    classify((m, o) => m.flags.writeImage(o.read(), 0x4d5)),
    'innocuous',
  )
  assert.equal(
    classify((m, o) => m.flags.writeImage(o.read(), 0x7d5)),
    'control sensitive!',
  )
  assert.equal(
    classify((m, o) => o.write(m.systemFlag(IF).zeroExtend(32))),
    'behaviour sensitive!',
  )
})

test('routines are looked into', () => {
  const reads = routine('testReads', [32], 32, (code, x) => code.get(F.cr0).add(x))
  const writes = routine('testWrites', [32], undefined, (code, x) => void code.set(F.efer, x))
  const faults = routine('testFaults', [], undefined, code => {
    code.if(code.get(F.cpl).isNonZero(), () => {
      code.set(F.fault, 1)
      code.set(F.faultVector, GP)
    })
    return undefined
  })
  assert.equal(
    classify((m, o) => o.write(m.call(reads, o.read()))),
    'behaviour sensitive!',
  )
  assert.equal(
    classify((m, o) => void m.call(reads, o.read())),
    'innocuous',
  )
  assert.equal(
    classify((m, o) => void m.call(writes, o.read())),
    'control sensitive!',
  )
  assert.equal(
    classify((m, o) => {
      m.call(faults)
      o.write(m.get(F.cr0))
    }),
    'privileged+behaviour sensitive',
  )
})

test('services are known by their effects', () => {
  assert.equal(
    classify((m, o) => m.service('verifyRead', o.read())),
    'behaviour sensitive!',
  )
  assert.throws(
    () => classify(m => m.service('nobody')),
    /service nobody has no entry in src\/cpu\/services\/effects.ts/,
  )
  for (const name of Object.keys(services)) assert.ok(name in SERVICE_EFFECTS, `${name} has no entry in effects.ts`)
})

/** J. S. Robin and C. E. Irvine, "Analysis of the Intel Pentium's ability to support a secure virtual machine monitor", 2000. */
const ROBIN_AND_IRVINE = 'SGDT SIDT SLDT SMSW PUSHF POPF LAR LSL VERR VERW POP PUSH CALL JMP INT RET STR MOV'.split(' ')

/** What the Pentium has. */
const PENTIUM_FEATURES: ReadonlySet<string | undefined> = new Set([undefined, 'fpu', 'tsc', 'msr', 'cx8'])

/** Critical here and not in the paper, with the reason. */
const EXPLAINED: Record<string, string> = {
  IRET: 'loads CS, SS and flags as RET and POPF do; the paper takes it as one with the return of an interrupt',
  INT3: 'INT n with a fixed vector: a byte of its own',
  INTO: 'INT n with a fixed vector',
  INT1: 'INT n with a fixed vector; not in the manual of that time',
  LDS: 'loads a segment register through the descriptor tables as MOV and POP do',
  LES: 'as LDS',
  LFS: 'as LDS',
  LGS: 'as LDS',
  LSS: 'as LDS',
  FNSTENV: 'stores the CS and DS selectors of the last x87 instruction, as MOV and PUSH do; the paper overlooks it',
  FNSAVE: 'as FNSTENV',
  RDTSC: 'traps when CR4.TSD is set, which the paper counts as privileged',
  CPUID: 'leaf 1 shows CR4.OSXSAVE, which the Pentium did not have',
}

test("the Pentium's critical instructions are those that Robin and Irvine list", () => {
  const pentium = instructions.filter(one => PENTIUM_FEATURES.has(one.feature))
  const critical = new Set(
    listInstructions(pentium)
      .filter(row => row.critical)
      .map(row => (row.mnemonic === 'RETF' ? 'RET' : row.mnemonic)),
  )
  assert.deepEqual([...critical].sort(), [...ROBIN_AND_IRVINE, ...Object.keys(EXPLAINED)].sort())
})

test('the listing has a line for each definition', () => {
  const rows = listInstructions(instructions)
  const lines = formatListing(rows).trimEnd().split('\n')
  assert.equal(lines.length, instructions.length + 1)
  assert.ok(lines.some(line => /^CBW\/CWDE\/CDQE +- +user +innocuous +98$/.test(line)))
  const critical = formatListing(rows, true)
  assert.match(critical, /^PUSHF +behaviour sensitive +system flags +- +never$/m)
  assert.doesNotMatch(critical, /^CBW/m)
})

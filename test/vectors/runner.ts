/** Runs files of captured tests: leaves out what the rules name, compares the rest, counts. */
import { type Chip, type Exclusion, exclusionOf } from './exclusions.ts'
import { undefinedFlags } from './flags.ts'
import { type Instruction, parseInstruction } from './instruction.ts'
import { readVectors, type VectorTest } from './moo.ts'
import { type Difference, VectorProcessor } from './processor.ts'
import { flagsMask, ignoredReturnAddress, pushedFlagsAddress } from './pushed-flags.ts'

/** A test that gave something else than the chip did. */
export interface Failure {
  readonly file: string
  readonly test: VectorTest
  readonly differences: readonly Difference[]
}

/** What a run found. */
export interface Totals {
  passed: number
  failed: number
  excluded: number
  /** Tests left out, by rule; with an audit, how many of them would have passed. */
  readonly byExclusion: Map<Exclusion, { tests: number; wouldPass: number }>
  /** Tests of which some flags were not compared, by rule. */
  readonly byUndefinedFlags: Map<string, number>
  /** Tests of which the pushed return address was not compared. */
  returnAddresses: number
}

/** How to run. */
export interface RunnerOptions {
  readonly engine: 'interpreter' | 'translator'
  /** Only each so many-th test of a file; 1: all. */
  readonly every?: number
  /** Runs what the rules leave out too, to see whether they leave out too much. */
  readonly audit?: boolean
  onFailure?(failure: Failure): void
}

/** The chips by the name in a file's header. */
const CHIPS: Readonly<Record<string, Chip>> = { '8086': '8086', '8088': '8086', C286: '80286', '286': '80286' }

/** Tests after which RAM is looked through for bytes that nobody should have written. */
const BATCH = 64

/** Runs files one after another. */
export class VectorRunner {
  readonly totals: Totals = {
    passed: 0,
    failed: 0,
    excluded: 0,
    byExclusion: new Map(),
    byUndefinedFlags: new Map(),
    returnAddresses: 0,
  }
  private readonly options: RunnerOptions
  private readonly processors = new Map<Chip, VectorProcessor>()

  constructor(options: RunnerOptions) {
    this.options = options
  }

  /** The processor that stands for a chip. */
  processor(chip: Chip): VectorProcessor {
    let processor = this.processors.get(chip)
    if (!processor) {
      const old = chip === '8086'
      processor = new VectorProcessor(this.options.engine, old ? 20 : 24, !old)
      this.processors.set(chip, processor)
    }
    return processor
  }

  /**
   * Runs a file's tests.
   * @param file its name, for messages
   * @param bytes its contents, unpacked
   * @throws Error when it is no file of vectors, or of a chip that is not known
   */
  runFile(file: string, bytes: Uint8Array): void {
    const { cpu, tests } = readVectors(bytes, this.options.every)
    const chip = CHIPS[cpu]
    if (!chip) throw new Error(`captured from a ${JSON.stringify(cpu)}; known are ${Object.keys(CHIPS).join(', ')}`)
    this.runTests(file, chip, tests)
  }

  /** Runs tests of a chip. */
  runTests(file: string, chip: Chip, tests: Iterable<VectorTest>): void {
    let batch: [test: VectorTest, instruction: Instruction, differences: Difference[]][] = []
    const finish = () => {
      if (this.processor(chip).strayWrites().length > 0) this.findStrays(chip, batch)
      for (const [test, , differences] of batch) this.count(file, test, differences)
      batch = []
    }
    for (const test of tests) {
      const instruction = parseInstruction(test.bytes, chip === '80286')
      const exclusion = exclusionOf(chip, instruction, test)
      if (exclusion) this.exclude(exclusion, chip, test, instruction)
      else batch.push([test, instruction, this.run(chip, test, instruction)])
      if (batch.length === BATCH) finish()
    }
    finish()
  }

  private run(chip: Chip, test: VectorTest, instruction: Instruction): Difference[] {
    const undefinedOnes = undefinedFlags(instruction, test)
    if (undefinedOnes.mask) {
      const { byUndefinedFlags } = this.totals
      byUndefinedFlags.set(undefinedOnes.rule, (byUndefinedFlags.get(undefinedOnes.rule) ?? 0) + 1)
    }
    const ignoredAddress = ignoredReturnAddress(chip, instruction, test)
    if (ignoredAddress >= 0) this.totals.returnAddresses++
    return this.processor(chip).run(test, instruction, {
      flags: flagsMask(undefinedOnes.mask),
      flagsAddress: pushedFlagsAddress(chip, instruction, test),
      ignoredAddress,
    })
  }

  /** Runs a batch again, test by test, to find those that wrote elsewhere. */
  private findStrays(chip: Chip, batch: readonly [VectorTest, Instruction, Difference[]][]): void {
    const processor = this.processor(chip)
    for (const [test, instruction, differences] of batch) {
      this.processor(chip).run(test, instruction, { flags: 0, flagsAddress: -1, ignoredAddress: -1 })
      for (const address of processor.strayWrites()) {
        differences.push({ where: `written: ${address.toString(16).toUpperCase()}`, expected: 0, found: 1 })
      }
    }
  }

  private count(file: string, test: VectorTest, differences: readonly Difference[]): void {
    if (differences.length === 0) this.totals.passed++
    else {
      this.totals.failed++
      this.options.onFailure?.({ file, test, differences })
    }
  }

  private exclude(exclusion: Exclusion, chip: Chip, test: VectorTest, instruction: Instruction): void {
    const { byExclusion } = this.totals
    let counts = byExclusion.get(exclusion)
    if (!counts) byExclusion.set(exclusion, (counts = { tests: 0, wouldPass: 0 }))
    counts.tests++
    this.totals.excluded++
    if (!this.options.audit) return
    const differences = this.run(chip, test, instruction)
    if (this.processor(chip).strayWrites().length === 0 && differences.length === 0) counts.wouldPass++
  }
}

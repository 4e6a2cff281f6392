/**
 * Runs test386.asm's ROM image as a PC's BIOS would be run: `bin/node-new-enough test/test386/main.ts IMAGE [--engine E]`.
 *
 * The image, 64 or 128 KiB, lies below 1 MiB. Its diagnostic codes come out of port 190h and go to standard error; what it
 * prints (assembled with OUT_PORT 0xe9) goes to standard output. Status 0: it came to its end, code FFh.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { CS, F } from '../../src/cpu/state.ts'
import { TestMachine } from '../../src/cpu/test-vcpu.ts'
import { Vcpu } from '../../src/cpu/vcpu.ts'
import { Interpreter } from '../../src/engines/interpreter/interpreter.ts'
import { Translator } from '../../src/engines/translator/translator.ts'
import { PhysicalMemory } from '../../src/memory/physical.ts'

const POST_PORT = 0x190
const TEXT_PORT = 0xe9
const DONE = 0xff
const MEMORY = 16 * 2 ** 20
/** An image's, in bytes. */
const SIZES = [64 << 10, 128 << 10]
const SLICE = 1_000_000
/** A run to the end takes 80 slices. */
const SLICES = 1000

/** The machine around the processor: two output ports. */
class PostMachine extends TestMachine {
  readonly codes: number[] = []
  text = ''
  override writePort(port: number, _size: number, value: number): void {
    if (port === TEXT_PORT) this.text += String.fromCharCode(value & 0xff)
    if (port !== POST_PORT) return
    this.codes.push(value)
    if (value === DONE) this.stopRequested = true
  }
}

const { values, positionals } = parseArgs({
  options: { engine: { type: 'string', default: 'auto' } },
  allowPositionals: true,
})
const heat = { interpreter: 0, auto: undefined, translator: 1 }
if (positionals.length !== 1 || !(values.engine in heat)) {
  console.error('usage: test/test386/main.ts IMAGE [--engine interpreter|auto|translator]')
  process.exit(2)
}
let image: Uint8Array
try {
  image = readFileSync(positionals[0])
} catch (error) {
  console.error(`test/test386/main.ts: the image ${positionals[0]} cannot be read: ${(error as Error).message}`)
  process.exit(2)
}
if (!SIZES.includes(image.length)) {
  console.error(
    `test/test386/main.ts: ${positionals[0]} has ${image.length} bytes: test386.asm's image has 64 or 128 KiB.`,
  )
  process.exit(2)
}
const memory = new PhysicalMemory(MEMORY)
memory.write(0x100000 - image.length, image)
const machine = new PostMachine()
const cpu = new Vcpu(memory, machine)
const engine = new Interpreter(cpu)
if (values.engine !== 'interpreter') new Translator(engine, heat[values.engine as 'auto' | 'translator'])
// The alias of the image below 4 GiB is only needed for the jump at the reset vector: start in the image itself.
cpu.setSegment(CS, 0xf000, 0xf0000, 0xffff, cpu.state.get32(F.segmentAttributes, CS))
cpu.updateMode()
let exit = engine.run(SLICE)
for (let i = 1; i < SLICES && exit.kind === 'budget'; i++) exit = engine.run(SLICE)
process.stdout.write(machine.text)
const where = `${cpu.state.get32(F.segmentSelector, CS).toString(16)}:${cpu.rip.toString(16)}`
console.error(`codes ${machine.codes.map(code => code.toString(16)).join(' ')}`)
console.error(`${exit.kind} at ${where} after ${cpu.instructions} instructions`)
process.exitCode = machine.codes.at(-1) === DONE ? 0 : 1

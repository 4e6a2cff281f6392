/**
 * Engines in lock-step over a whole guest:
 *
 *     bin/node-new-enough test/lockstep/main.ts --kernel K --initrd I --append A [--engine auto|translator]
 *     bin/node-new-enough test/lockstep/main.ts --bios FILE --cdrom ISO [--machine pc|q35] …
 *         [--memory MiB] [--slice N] [--memory-every N] [--limit N] [--pieces N] [--no-bisect] [--quiet] [--store DIR]
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { v8Flags } from '../../src/engines/tiering.ts'
import { codeStore } from '../../src/hosts/node/code-store.ts'
import type { EngineChoice, MachineName } from '../../src/machine/messages.ts'
import { lockstep } from './lockstep.ts'

const { values } = parseArgs({
  options: {
    kernel: { type: 'string' },
    bios: { type: 'string' },
    cdrom: { type: 'string' },
    machine: { type: 'string', default: 'pc' },
    initrd: { type: 'string' },
    append: { type: 'string', default: 'console=ttyS0 quiet' },
    engine: { type: 'string', default: 'auto' },
    memory: { type: 'string', default: '256' },
    slice: { type: 'string', default: '1000000' },
    'memory-every': { type: 'string', default: '50' },
    pieces: { type: 'string' },
    limit: { type: 'string', default: 'Infinity' },
    'no-bisect': { type: 'boolean', default: false },
    store: { type: 'string' },
    quiet: { type: 'boolean', default: false },
  },
})
if (!values.kernel && !values.bios) {
  console.error('lockstep: --kernel is missing: give the file of a guest kernel, or --bios with one of a BIOS')
  process.exit(2)
}
v8Flags.set = flag => setFlagsFromString(flag)
v8Flags.inlining = !process.execArgv.includes('--no-wasm-inlining')
const started = performance.now()
const outcome = await lockstep({
  kernel: values.kernel ? readFileSync(values.kernel) : undefined,
  firmware: values.bios ? new Uint8Array(readFileSync(values.bios)) : undefined,
  cdrom: values.cdrom ? new Uint8Array(readFileSync(values.cdrom)) : undefined,
  machine: values.machine as MachineName,
  initrd: values.initrd ? readFileSync(values.initrd) : undefined,
  commandLine: values.append,
  memory: Number(values.memory) << 20,
  engine: values.engine as EngineChoice,
  slice: Number(values.slice),
  memoryEvery: Number(values['memory-every']),
  limit: Number(values.limit),
  pieces: values.pieces === undefined ? undefined : Number(values.pieces),
  bisect: !values['no-bisect'],
  store: codeStore(values.store),
  transmit: values.quiet ? undefined : byte => process.stdout.write(Buffer.of(byte)),
})
const seconds = ((performance.now() - started) / 1000).toFixed(1)
console.log(`\n${outcome.instructions} instructions on both, ${seconds} s, end: ${JSON.stringify(outcome.end)}`)
if (outcome.difference) {
  console.log(`DIFFERENT ${outcome.difference}`)
  process.exit(1)
}
console.log('equal')

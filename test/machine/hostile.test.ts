/**
 * Guests that mean harm: random bytes, faults in a circle, nonsense for every device. Each may end or run on as it
 * likes; the machine must stay answerable, end when told, and never fail by an error of its own.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Machine } from '../../src/hosts/node/index.ts'
import { LOOP, multibootKernel, outb, outl } from './tiny-kernel.ts'

const timeout = 180_000
const SEED = 20_261_121
/** How long a guest that does not end by itself is watched: milliseconds. */
const WATCHED = 150

/** Mulberry32: the same numbers in every run. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }
}

/** Runs code in a machine of its own until it ends or was watched long enough; how often it was reset. */
async function survives(code: Uint8Array | readonly number[], engine: 'auto' | 'interpreter'): Promise<number> {
  const machine = await Machine.create({ memory: 16 << 20, kernel: multibootKernel(code), engine })
  machine.serial[0].readable.pipeTo(new WritableStream()).catch(() => {})
  let restarts = 0
  machine.addEventListener('restart', () => restarts++)
  await machine.start()
  const watched = new Promise(resolve => setTimeout(resolve, WATCHED))
  await Promise.race([machine.stopped, watched])
  // It still answers, unless it ended.
  await Promise.race([machine.stopped, machine.stats()])
  await machine.destroy()
  const { reason, message } = await machine.stopped
  assert.ok(reason !== 'error', message ?? reason)
  return restarts
}

const next = random(SEED)
const bytes = (count: number) => Uint8Array.from({ length: count }, () => next() & 0xff)

/** Ports of every device there is, and some of none. */
const PORTS = [
  ...[0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0x80, 0xe9],
  ...[0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x2f8, 0x2fb, 0xcf8, 0xcfc, 0xcfd, 0xcfe, 0xcff, 0x510, 0x511, 0x600, 0x608],
  ...[0xb000, 0xb004, 0xb008, 0xc000, 0xc010, 0xc020, 0xffff],
]

/** Windows of memory where devices are, and where nothing is. */
const WINDOWS = [0xfee00000, 0xfec00000, 0xfed00000, 0xfe000000, 0xfebf0000, 0xe0000000, 0x000a0000, 0x01000000]

/** `mov dword [address], value`. */
const store = (address: number, value: number) => [
  ...[0xc7, 0x05],
  ...[address, value].flatMap(word => [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24]),
]

/** Nonsense for the devices. Port 0xcf8 gets an address of a function that exists, so that 0xcfc does harm. */
function nonsense(): number[] {
  const code: number[] = []
  for (let i = 0; i < 1600; i++) {
    const port = PORTS[next() % PORTS.length]
    const value = next()
    switch (next() % 4) {
      case 0:
        code.push(...outb(port, value & 0xff))
        break
      case 1:
        code.push(...outl(0xcf8, (0x80000000 | (value & 0x3ffc)) >>> 0), ...outl(0xcfc, next()))
        break
      case 2:
        code.push(...outl(port, value))
        break
      default:
        code.push(...store((WINDOWS[next() % WINDOWS.length] + (value & 0xffc)) >>> 0, next()))
    }
  }
  return [...code, ...LOOP]
}

/** Faults for ever: an IDT whose every gate leads to an undefined instruction. To be entered at {@link ENTRY}. */
const FAULTS = [
  ...[0xbc, 0x00, 0x00, 0x30, 0x00], // mov esp, 0x300000
  ...[0xbf, 0x00, 0x00, 0x20, 0x00], // mov edi, 0x200000
  ...[0xb9, 0x00, 0x01, 0x00, 0x00], // mov ecx, 256
  // The gate: offset 0x100050, the last but one line, the code segment in use, a 32-bit trap gate.
  ...[0x8c, 0xc8, 0xc1, 0xe0, 0x10, 0x66, 0xb8, 0x50, 0x00], // mov eax, cs; shl eax, 16; mov ax, 0x50
  ...[0xab, 0xb8, 0x00, 0x8f, 0x10, 0x00, 0xab, 0xeb, 0x00], // stosd; mov eax, 0x108f00; stosd; jmp +0
  ...[0xe2, 0xec], // loop to the gate
  ...[0x68, 0x00, 0x00, 0x20, 0x00, 0x66, 0x68, 0xff, 0x07], // push 0x200000; push word 0x7ff
  ...[0x0f, 0x01, 0x1c, 0x24], // lidt [esp]
  ...[0xbc, 0x00, 0x00, 0x30, 0x00], // mov esp, 0x300000
  ...[0x0f, 0x0b, 0x0f, 0x0b], // ud2
]

for (const engine of ['interpreter', 'auto'] as const) {
  test(`random bytes by ${engine} (seed ${SEED})`, { timeout }, async () => {
    for (let i = 0; i < 8; i++) await survives(bytes(1 + (next() % 65536)), engine)
  })

  test(`nonsense for every device by ${engine} (seed ${SEED})`, { timeout }, async () => {
    for (let i = 0; i < 8; i++) await survives(nonsense(), engine)
  })

  test(`faults without end by ${engine}`, { timeout }, async () => {
    assert.equal(await survives(FAULTS, engine), 0)
  })

  test(`a wild REP by ${engine}`, { timeout }, async () => {
    // mov ecx, -1; mov edi, 0x200000; rep stosd: over the end of memory, through every device
    await survives([0xb9, 0xff, 0xff, 0xff, 0xff, 0xbf, 0, 0, 0x20, 0, 0xf3, 0xab, ...LOOP], engine)
  })
}

test('kernels of random bytes behind a good beginning are refused or run, and nothing else', { timeout }, async () => {
  for (let i = 0; i < 16; i++) {
    const kernel = bytes(64 + (next() % 8192))
    if (i % 4 === 0) kernel.set([0x7f, 0x45, 0x4c, 0x46, 1 + (next() & 1), 1, 1])
    else if (i % 4 === 1) kernel.set(new TextEncoder().encode('HdrS'), 0x202 % kernel.length)
    else if (i % 4 === 2) kernel.set([0x02, 0xb0, 0xad, 0x1b, 0, 0, 0, 0, 0xfe, 0x4f, 0x52, 0xe4])
    else kernel.set([0x02, 0xb0, 0xad, 0x1b, 0, 0, 1, 0, 0xfe, 0x4f, 0x51, 0xe4])
    let machine: Machine
    try {
      machine = await Machine.create({ memory: 16 << 20, kernel })
    } catch (error) {
      assert.equal((error as Error).name, 'MachineError')
      assert.doesNotMatch((error as Error).message, /error in typetwo/)
      continue
    }
    await machine.destroy()
  }
})

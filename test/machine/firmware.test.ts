/** A machine that starts in firmware: shadow RAM, A20, reset of the processor, and SeaBIOS, on both engines in lock-step. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ensureFirmware } from '../../src/hosts/node/firmware.ts'
import { writeCpio } from '../../src/hosts/node/guest/cpio.ts'
import { MemoryDisk } from '../../src/hosts/node/index.ts'
import { Machine } from '../../src/hosts/node/machine.ts'
import { Guest } from '../lockstep/guest.ts'
import { lockstep } from '../lockstep/lockstep.ts'
import { Transcript } from './debian.ts'
import { configure, firmwareImage, loadDs, outAl, outb, printByte, storeByte } from './tiny-firmware.ts'

const ENGINES = ['interpreter', 'translator'] as const
const PAM0 = 0x59
const MEMORY = 16 << 20
const END = [...outb(0xf4, 1), 0xf4]

/** Runs firmware to its end by the debug exit port, or for a while. @returns what it wrote to COM1 */
async function run(firmware: Uint8Array, engine: (typeof ENGINES)[number]): Promise<string> {
  const guest = await Guest.create({ firmware, commandLine: '', memory: MEMORY }, engine)
  guest.runTo(3_000_000)
  assert.equal(guest.end?.kind, 'debug-exit', `it did not come to its end: ${guest.serial}`)
  return guest.serial
}

/** A routine in the segment F000h that gives a letter: `mov al, letter; ret`. */
const ROUTINE = 0x1000
const CALL = (at: number) => [0xe8, (ROUTINE - at - 3) & 0xff, ((ROUTINE - at - 3) >> 8) & 0xff]

/** Code at F000:0000 of pieces, of which those that call need to know where they are. */
function program(pieces: (number[] | ((at: number) => number[]))[]): number[] {
  const code: number[] = []
  for (const piece of pieces) code.push(...(typeof piece === 'function' ? piece(code.length) : piece))
  return code
}

for (const engine of ENGINES) {
  test(`shadow RAM is ROM, RAM or both as PAM0 says, also for code that was executed: ${engine}`, async () => {
    const say = [CALL, outAl(0x3f8)]
    const stack = [0x31, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c]
    // cld; xor si, si; xor di, di; mov cx, 8000h; rep movsw, within the segment.
    const copy = [0x8e, 0xc0, 0xfc, 0x31, 0xf6, 0x31, 0xff, 0xb9, 0x00, 0x80, 0xf3, 0xa5]
    const firmware = firmwareImage(
      program([
        stack,
        configure(PAM0, 0x20),
        loadDs(0xf000),
        copy,
        storeByte(ROUTINE + 1, 0x42),
        ...say, // the ROM: A
        configure(PAM0, 0x30),
        ...say, // the RAM: B
        ...Array.from({ length: 20 }, () => [configure(PAM0, 0x00), ...say, configure(PAM0, 0x30), ...say]).flat(),
        configure(PAM0, 0x10),
        storeByte(ROUTINE + 1, 0x43),
        ...say, // written in vain: B
        configure(PAM0, 0x30),
        storeByte(ROUTINE + 1, 0x44),
        ...say, // D
        configure(PAM0, 0x00),
        storeByte(ROUTINE + 1, 0x45),
        ...say, // A
        configure(PAM0, 0x30),
        ...say, // D
        END,
      ]),
      { [ROUTINE]: [0xb0, 0x41, 0xc3] },
    )
    assert.equal(await run(firmware, engine), `AB${'AB'.repeat(20)}BDAD`)
  })

  test(`A20: the second megabyte is the first while the gate is closed: ${engine}`, async () => {
    const outside = [loadDs(0xffff), printByte(0x510)].flat()
    const close = outb(0x64, 0xdd)
    const firmware = firmwareImage(
      program([
        loadDs(0),
        storeByte(0x500, 0x4c),
        close,
        outside, // L
        outb(0x92, 2),
        loadDs(0xffff),
        storeByte(0x510, 0x48),
        outside, // H
        loadDs(0),
        printByte(0x500), // L
        outb(0x92, 0),
        outside, // L
        storeByte(0x510, 0x4d),
        loadDs(0),
        printByte(0x500), // M
        outb(0x64, 0xdf),
        outside, // H
        END,
      ]),
    )
    assert.equal(await run(firmware, engine), 'LHLLMH')
  })

  test(`the display's hole is no RAM, and what is written to ROM is lost: ${engine}`, async () => {
    // cmp byte [0], ffh; sete al; add al, '0'
    const isOnes = [0x80, 0x3e, 0, 0, 0xff, 0x0f, 0x94, 0xc0, 0x04, 0x30]
    const firmware = firmwareImage(
      program([
        loadDs(0xa000),
        storeByte(0, 0x41),
        isOnes,
        outAl(0x3f8), // 1
        configure(0x72, 0x48),
        storeByte(0, 0x42),
        printByte(0), // system management RAM is open: B
        configure(0x72, 0x08),
        isOnes,
        outAl(0x3f8), // 1
        configure(0x72, 0x58),
        isOnes,
        outAl(0x3f8), // locking closes it: 1
        loadDs(0xf000),
        storeByte(0x2000, 0x43),
        printByte(0x2000), // A
        END,
      ]),
      { 8192: [0x41] },
    )
    assert.equal(await run(firmware, engine), '1B11A')
  })

  test(`the keyboard controller resets the processor alone: ${engine}`, async () => {
    // cmp byte [600h], 55h; jne over what the second start does
    const second = [...printByte(0x600), ...END]
    const firmware = firmwareImage(
      program([
        loadDs(0),
        [0x80, 0x3e, 0x00, 0x06, 0x52, 0x75, second.length],
        second,
        storeByte(0x600, 0x52),
        // A device that keeps what it is: the scratch register of COM1.
        outb(0x64, 0xfe),
        [0xf4],
      ]),
    )
    assert.equal(await run(firmware, engine), 'R')
  })
}

const bios = await ensureFirmware('seabios')
  .then(([path]) => readFile(path))
  .catch(error => `no SeaBIOS: ${(error as Error).message}`)
const skip = typeof bios === 'string' && bios

for (const machine of ['pc', 'q35'] as const)
  test(`SeaBIOS comes to where it looks for something to boot, the same on both engines: ${machine}`, {
    skip,
  }, async () => {
    const outcome = await lockstep({
      firmware: new Uint8Array(bios as Buffer),
      machine,
      commandLine: '',
      memory: 64 << 20,
      engine: 'translator',
      slice: 20_011,
      memoryEvery: 50,
      limit: 6_000_000,
      bisect: true,
    })
    assert.equal(outcome.difference, undefined)
    assert.match(outcome.serial, /SeaBIOS \(version [\s\S]*Booting from Hard Disk\.\.\.[\s\S]*No bootable device/)
  })

/** A disk whose first sector writes text to COM1 and ends the machine. */
function bootableDisk(text: string): MemoryDisk {
  const disk = new MemoryDisk(1 << 20)
  const sector = new Uint8Array(512)
  const code = [...text].flatMap(letter => outb(0x3f8, letter.charCodeAt(0)))
  sector.set([...code, ...END])
  sector.set([0x55, 0xaa], 510)
  void disk.write(0, sector)
  return disk
}

for (const [machineName, bus, order, text] of [
  ['pc', 'ide', undefined, 'IDE'],
  ['pc', 'virtio', undefined, 'VIRTIO'],
  ['q35', 'ide', ['cdrom', 'disk'], 'Q35'],
] as const)
  test(`SeaBIOS boots a disk: ${machineName}, ${bus}`, { skip, timeout: 120_000 }, async () => {
    const machine = await Machine.create({
      firmware: new Uint8Array(bios as Buffer),
      machine: machineName,
      memory: MEMORY,
      clock: 'instructions',
      boot: { order },
      disks: [{ image: bootableDisk(`[${text}]`), bus }],
    })
    const transcript = new Transcript(machine.serial[0].readable)
    await machine.start()
    const end = await machine.stopped
    assert.equal(end.reason, 'debug-exit', end.message ?? end.reason)
    assert.match(transcript.text, new RegExp(`\\[${text}\\]`))
  })

/** A bzImage whose setup code writes the first bytes of command line and kernel to COM1, and the initrd's length, and ends the machine. */
function tinyLinux(): Uint8Array {
  const kernel = new Uint8Array(2048)
  const view = new DataView(kernel.buffer)
  kernel[0x1f1] = 1
  view.setUint16(0x1fe, 0xaa55, true)
  kernel.set(new TextEncoder().encode('HdrS'), 0x202)
  view.setUint16(0x206, 0x020a, true)
  kernel[0x211] = 1
  view.setUint32(0x22c, 0x37ffffff, true)
  view.setUint32(0x238, 255, true)
  view.setUint32(0x258, 0x100000, true)
  view.setUint32(0x260, 0x10000, true)
  const code = [
    ...printByte(0x21c),
    loadDs(0x2000),
    printByte(0),
    printByte(1),
    loadDs(0xffff),
    printByte(0x10),
    // call into the BIOS, which is there: int 12h, the size of conventional memory; al is its low byte.
    [0xcd, 0x12, ...outAl(0x3f8)],
    END,
  ].flat()
  kernel.set([0xeb, 0x66], 0x200)
  kernel.set(code, 0x268)
  kernel[1024] = 0x4b
  return kernel
}

test('SeaBIOS boots a kernel that is given with --kernel, by an option ROM of ours', {
  skip,
  timeout: 120_000,
}, async () => {
  // Its length's low byte is to be an ASCII character.
  const initrd = writeCpio([{ kind: 'file', path: 'file', content: new Uint8Array(128) }])
  const machine = await Machine.create({
    firmware: new Uint8Array(bios as Buffer),
    kernel: tinyLinux(),
    initrd,
    commandLine: 'CL',
    memory: MEMORY,
    clock: 'instructions',
  })
  const transcript = new Transcript(machine.serial[0].readable)
  await machine.start()
  const end = await machine.stopped
  assert.equal(end.reason, 'debug-exit', end.message ?? end.reason)
  // 639 KiB: 27fh.
  const first = String.fromCharCode(initrd.length & 0xff)
  const shown = transcript.text.slice(transcript.text.indexOf('Booting from ROM'))
  assert.ok(shown.endsWith(`${first}CLK\x7f`), shown)
})

test('SeaBIOS boots a floppy whose image is nothing but its boot sector', { skip, timeout: 120_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'typetwo-floppy-'))
  try {
    const image = join(folder, 'boot.img')
    const sector = new Uint8Array(512)
    // The last sector of a 1.44 MB floppy is there and empty: int 13h, AX=0201h, CX=4f12h, DH=1, ES:BX=0:7e00h.
    const read = [
      0x31, 0xc0, 0x8e, 0xc0, 0xb8, 0x01, 0x02, 0xb9, 0x12, 0x4f, 0xba, 0x00, 0x01, 0xbb, 0x00, 0x7e, 0xcd, 0x13,
    ]
    // adc al, '/': one sector and no carry gives '0'.
    sector.set([...read, 0x14, 0x2f, ...outAl(0x3f8), ...END])
    sector.set([0x55, 0xaa], 510)
    await writeFile(image, sector)
    const machine = await Machine.create({
      firmware: new Uint8Array(bios as Buffer),
      memory: MEMORY,
      clock: 'instructions',
      floppies: [{ image }],
    })
    const transcript = new Transcript(machine.serial[0].readable)
    await machine.start()
    const end = await machine.stopped
    assert.equal(end.reason, 'debug-exit', end.message ?? end.reason)
    assert.match(transcript.text, /Booting from Floppy[\s\S]*0$/)
  } finally {
    await rm(folder, { recursive: true })
  }
})

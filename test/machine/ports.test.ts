/** Serial ports and printer as a real BIOS drives them for programs of the DOS era: INT 14h and INT 17h. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { ensureFirmware, Machine, MemoryDisk } from '../../src/hosts/node/index.ts'
import { Transcript } from './debian.ts'

const timeout = 300_000

/** xor ax, ax; mov ds, ax; mov es, ax */
const SEGMENTS = [0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0]
/** Sends a byte to a serial port by INT 14h, function 1. */
const send = (port: number, byte: number) => [0xba, port, 0x00, 0xb8, byte, 0x01, 0xcd, 0x14]
/** Prints a byte on LPT1 by INT 17h, function 0; AH is the status then. */
const print = (byte: number) => [0x31, 0xd2, 0xb8, byte, 0x00, 0xcd, 0x17]
/** Sends AH to COM2 in two bytes below 80h: mov bl, ah; mov al, ah; shr al, 4; int 14h; then the low half. */
const SEND_AH = [
  0x88, 0xe3, 0x88, 0xe0, 0xc0, 0xe8, 0x04, 0xb4, 0x01, 0xba, 0x01, 0x00, 0xcd, 0x14, 0x88, 0xd8, 0x24, 0x0f, 0xb4,
  0x01, 0xba, 0x01, 0x00, 0xcd, 0x14,
]
/** Initialises a port to 9600 8N1. */
const initialise = (port: number) => [0xba, port, 0x00, 0xb8, 0xe3, 0x00, 0xcd, 0x14]
/** mov dx, 0f4h; mov al, 0; out dx, al; hlt */
const END = [0xba, 0xf4, 0x00, 0xb0, 0x00, 0xee, 0xf4]

/** Runs a boot sector of a floppy. @returns what COM2 to COM4 and the printer got */
async function boot(seabios: string, code: number[], printer: boolean) {
  const sector = new Uint8Array(512)
  sector.set(code)
  sector.set([0x55, 0xaa], 510)
  const floppy = new MemoryDisk(1474560)
  await floppy.write(0, sector)
  const machine = await Machine.create({
    memory: 16 << 20,
    firmware: () => readFile(seabios).then(bytes => new Uint8Array(bytes)),
    floppies: [{ image: floppy }],
    boot: { order: ['floppy'] },
  })
  machine.parallel.setConnected(printer)
  const ends = [machine.serial[1], machine.serial[2], machine.serial[3], machine.parallel]
  const transcripts = ends.map(({ readable }) => new Transcript(readable))
  await machine.start()
  const { reason, message = reason } = await machine.stopped
  assert.equal(reason, 'debug-exit', message)
  return transcripts.map(({ text }) => text)
}

const seabios = await ensureFirmware('seabios').then(
  ([path]) => path as string,
  error => ({ reason: (error as Error).message }),
)
const skip = typeof seabios === 'object' && seabios.reason
for (const printer of [true, false])
  test(`three serial ports, and ${printer ? 'a printer' : 'an empty socket for one'}`, { skip, timeout }, async () => {
    const bytes = (text: string) => [...Buffer.from(text)]
    const code = [
      ...SEGMENTS,
      ...[1, 2, 3].flatMap(port => [...initialise(port), ...bytes(`COM${port + 1}`).flatMap(byte => send(port, byte))]),
      ...(printer ? bytes('printed\f') : [0x21]).flatMap(print),
      ...SEND_AH,
      ...END,
    ]
    const [com2, ...others] = await boot(seabios as string, code, printer)
    assert.deepEqual(others, ['COM3', 'COM4', printer ? 'printed\f' : ''])
    assert.ok(com2 !== undefined)
    assert.equal(com2.slice(0, 4), 'COM2')
    // INT 17h's status: selected and not busy, acknowledged; or busy, out of paper, and timed out.
    assert.equal(com2.length, 6)
    assert.equal(((com2.charCodeAt(4) << 4) | com2.charCodeAt(5)) & 0xf9, printer ? 0xd0 : 0x31)
  })

/** What machines show and how they are used: SeaBIOS with its VGA BIOS, and GRUB's rescue CD where the host has it. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { inflateSync } from 'node:zlib'
import { ensureFirmware } from '../../src/hosts/node/firmware.ts'
import { encodePng, type MachineOptions, type ScreenImage } from '../../src/hosts/node/index.ts'
import { Machine } from '../../src/hosts/node/machine.ts'

const RESCUE_CD = '/usr/lib/grub-rescue/grub-rescue-cdrom.iso'
/** Seconds pass on a busy host; one that hangs must not hold up everything else. Milliseconds. */
const timeout = 300_000

const [bios, videoBios, virtioBios] = await ensureFirmware('seabios')

async function start(context: TestContext, options: Partial<MachineOptions> = {}): Promise<Machine> {
  const machine = await Machine.create({
    memory: 64 << 20,
    display: true,
    firmware: await readFile(bios),
    videoBios: await readFile(videoBios),
    ...options,
  })
  context.after(() => machine.destroy())
  await machine.start()
  return machine
}

/** Waits for text on the screen. */
async function until(machine: Machine, pattern: RegExp): Promise<string> {
  for (;;) {
    const text = (await machine.screen!.text()) ?? ''
    if (pattern.test(text)) return text
    assert.equal(machine.state, 'running', `it ended before there was ${pattern}: ${text}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

/** The colors of a picture. */
function colors({ data }: ScreenImage): Set<string> {
  const found = new Set<string>()
  for (let at = 0; at < data.length; at += 4) found.add(data.subarray(at, at + 4).join(' '))
  return found
}

test('SeaBIOS shows itself: text, picture, changes, PNG', { timeout }, async context => {
  const machine = await start(context)
  const reader = machine.screen!.changes().getReader()
  const { value: first } = await reader.read()
  assert.deepEqual(
    first!.rectangles.map(({ x, y, width, height, data }) => [x, y, width, height, data.length]),
    [[0, 0, first!.width, first!.height, first!.width * first!.height * 4]],
  )
  const text = await until(machine, /No bootable device/)
  assert.match(text, /^SeaBIOS \(version/)
  const image = await machine.screen!.image()
  assert.deepEqual([image.width, image.height], [720, 400])
  assert.deepEqual([...colors(image)].sort(), ['0 0 0 255', '170 170 170 255'])
  const cells = (await machine.screen!.cells())!
  assert.deepEqual([cells.columns, cells.rows, cells.foreground[0]], [80, 25, 0xffaaaaaa])
  // What the stream told is what the picture is, but for the cursor that blinks.
  const picture = new Uint8Array(720 * 400 * 4)
  const { value: last } = await machine.screen!.changes().getReader().read()
  picture.set(last!.rectangles[0].data)
  const different = picture.filter((byte, i) => byte !== image.data[i]).length
  assert.ok(different <= 9 * 4 * 3, `${different} bytes`)
  const png = await encodePng(image)
  const view = new DataView(png.buffer)
  assert.deepEqual([view.getUint32(16), view.getUint32(20)], [720, 400])
  const lines = inflateSync(png.subarray(41, 41 + view.getUint32(33)))
  assert.deepEqual([...lines.subarray(1, 4)], [...image.data.subarray(0, 3)])
  assert.equal(lines.length, 400 * (720 * 3 + 1))
  await machine.destroy()
  assert.equal((await reader.read().then(async result => (result.done ? result : reader.read()))).done, true)
})

test('firmware shows itself on the VGA of a virtio GPU', { timeout }, async context => {
  const machine = await start(context, { vga: 'virtio', videoBios: await readFile(virtioBios) })
  await until(machine, /No bootable device/)
  const { width, height } = await machine.screen!.image()
  machine.screen!.preferSize!(1280, 800)
  assert.deepEqual([width, height], [720, 400])
  await assert.rejects(
    Machine.create({ vga: 'cirrus' as 'std', firmware: new Uint8Array(65536) }),
    /^MachineError: there is no display adapter 'cirrus': choose std, virtio, none$/,
  )
  const { screen } = await start(context)
  assert.equal(screen!.preferSize, undefined, 'a VGA cannot tell its guest')
})

test("GRUB's menu follows the keys, and its command line shows what is typed", {
  timeout,
  skip: !existsSync(RESCUE_CD) && 'there is no rescue CD: install grub-rescue-pc',
}, async context => {
  const machine = await start(context, { cdroms: [{ image: RESCUE_CD }], memory: 128 << 20 })
  const menu = await until(machine, /\*GNU\/Linux.*Memtest86\+.*before booting/s)
  assert.match(menu, /GNU GRUB {2}version/)
  const before = colors(await machine.screen!.image())
  assert.ok(before.size >= 2)
  // What is pressed while GRUB still draws is not always taken.
  const selected = async () => /\*(.*?) *│/.exec((await machine.screen!.text()) ?? '')?.[1]
  for (let times = 1; !/^FreeBSD/.test((await selected()) ?? ''); times++) {
    // A key that a busy host is late to release has gone too far.
    const key = times % 10 === 0 ? 'Home' : 'ArrowDown'
    machine.keyboard.press(key)
    await new Promise(resolve => setTimeout(resolve, 100))
    machine.keyboard.release(key)
    await new Promise(resolve => setTimeout(resolve, 400))
    assert.equal(machine.state, 'running')
  }
  await machine.keyboard.type('c')
  await until(machine, /grub>/)
  await machine.keyboard.type('echo "Typed: A-z {6*7} | ~"\n')
  await until(machine, /^Typed: A-z \{6\*7\} \| ~$/m)
  await machine.destroy()
})

test('keys for a machine without keyboard are refused, unknown ones and characters too', { timeout }, async context => {
  const machine = await start(context)
  await assert.rejects(machine.keyboard.type('ü'), /^MachineError: the keyboard layout 'us' has no key for 'ü'/)
  await assert.rejects(machine.keyboard.type('a', { layout: 'xx' }), /there is no keyboard layout 'xx'/)
  machine.keyboard.press('NoSuchKey')
  machine.mouse.move(Number.NaN, Number.POSITIVE_INFINITY)
  machine.mouse.moveTo(-5, Number.NaN)
  machine.mouse.wheel(1e9)
  await machine.screen!.image()
  await machine.destroy()
  await assert.rejects(machine.keyboard.type('a'), /the machine has ended/)
})

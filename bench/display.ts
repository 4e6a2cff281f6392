/**
 * What it costs to see a machine from elsewhere, and how soon a key is a letter: `bin/node-new-enough bench/display.ts --help`.
 */
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ENCODING } from '../src/display/rfb/protocol.ts'
import { NOVNC_FORMAT, TestViewer } from '../src/display/rfb/test-viewer.ts'
import { rgb, TestInput, TestScreen } from '../src/display/test-screen.ts'
import type { ShownMachine } from '../src/hosts/node/display/display.ts'
import { SocketConnection } from '../src/hosts/node/display/socket-connection.ts'
import { openVnc, type VncDisplay } from '../src/hosts/node/display/vnc.ts'
import { ensureFirmware, Machine, readWhole } from '../src/hosts/node/index.ts'
import { echoDisk, KEYS, keyPause, lit, summary } from './echo.ts'
import { startViewer } from './viewer.ts'

const HELP = `bin/node-new-enough bench/display.ts [options]

Measures what displays cost, beyond the guest's own work. Viewers are processes of their own, by TCP on this host; all times of
processing are user and system time of the process that serves, not of the wall.

  updates   60 changes a second of a screen of 1024 × 768 × 32, for each kind of picture and encoding: processing for each update,
            and what that makes of a core at 60 a second, should the host have had no time for so many
  stalled   the same with 50 more viewers that never read what they asked for
  key       milliseconds from a viewer's key event until the letter is in the viewer's picture: a guest of 512 bytes that has the
            BIOS read keys and print them

  --seconds N   of each measurement; default 5
  --only LIST   of updates,stalled,key
  --markdown    prints tables for docs/display-remote.md
`

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    only: { type: 'string', default: 'updates,stalled,key' },
    markdown: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const seconds = Number(values.seconds)
const WIDTH = 1024
const HEIGHT = 768
const RATE = 60

/** The encodings that viewers ask for, by their names. */
const ENCODINGS = {
  'Tight (noVNC, TigerVNC)': [ENCODING.copyRect, ENCODING.tight],
  ZRLE: [ENCODING.copyRect, ENCODING.zrle],
  Hextile: [ENCODING.copyRect, ENCODING.hextile],
  Raw: [ENCODING.raw],
}

/** Numbers that look random, in a period that no picture has. */
function random(seed = 1): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

/** Changes of the screen by their names: each draws frame `n` and says what it touched. */
const PICTURES: Record<string, (screen: TestScreen, n: number) => void> = {
  'a letter typed': (screen, n) => {
    const area = { x: (n % 100) * 9, y: 32 * (n % 20), width: 9, height: 16 }
    const next = random(n)
    screen.draw(area, () => (next() & 3 ? rgb(0, 0, 0) : rgb(200, 200, 200)))
    screen.show(area)
  },
  'text that scrolls': (screen, n) => {
    const { pixels } = screen
    pixels.copyWithin(0, 16 * WIDTH)
    const next = random(n)
    const width = 200 + (next() % 700)
    screen.draw({ x: 0, y: HEIGHT - 16, width: WIDTH, height: 16 }, x =>
      x < width && next() & 1 ? rgb(200, 200, 200) : rgb(0, 0, 0),
    )
    screen.show()
  },
  'a window of 400 × 300 moved': (screen, n) => {
    const x = (n * 5) % (WIDTH - 420)
    screen.fill({ x, y: 200, width: 420, height: 300 }, rgb(50, 90, 140))
    screen.fill({ x: x + 10, y: 200, width: 400, height: 300 }, rgb(240, 240, 240))
    for (let line = 0; line < 10; line++)
      screen.fill({ x: x + 30, y: 220 + line * 24, width: 300, height: 12 }, rgb(30, 30, 30))
    screen.show({ x, y: 200, width: 420, height: 300 })
  },
  'film on the whole screen': (() => {
    const next = random()
    const frames = Array.from({ length: 4 }, () =>
      Uint32Array.from({ length: WIDTH * HEIGHT }, (_, at) => {
        const shade = ((at % WIDTH) >> 2) + (next() & 15)
        return rgb(shade & 255, (shade * 2) & 255, (shade + (at >> 12)) & 255)
      }),
    )
    return (screen: TestScreen, n: number) => {
      screen.pixels.set(frames[n % frames.length])
      screen.show()
    }
  })(),
}

/** A test's machine behind VNC. */
async function show(machine: Partial<ShownMachine>): Promise<VncDisplay> {
  const display = await openVnc({ host: '127.0.0.1', port: 0 }, sentence => console.error(sentence))
  display.show({ machine: machine as ShownMachine, name: 'bench', ports: [], turnOff() {} })
  return display
}

/** Draws for some seconds. @returns processing, frames that were drawn and read, reads a second, bytes that were received */
async function draw(
  screen: TestScreen,
  picture: (screen: TestScreen, n: number) => void,
  received?: () => Promise<number>,
) {
  const bytes = (await received?.()) ?? 0
  const before = process.cpuUsage()
  const read = screen.read
  const start = performance.now()
  let n = 0
  while (performance.now() - start < seconds * 1000) {
    picture(screen, n++)
    const rest = start + (n * 1000) / RATE - performance.now()
    await new Promise(resolve => setTimeout(resolve, Math.max(0, rest)))
  }
  const wall = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(before)
  return {
    milliseconds: (user + system) / 1000,
    drawn: n,
    read: screen.read - read,
    frames: (screen.read - read) / wall,
    bytes: ((await received?.()) ?? 0) - bytes,
  }
}

async function updates(stalled: number): Promise<void> {
  const rows = []
  for (const [name, picture] of Object.entries(PICTURES)) {
    const alone = await draw(new TestScreen(WIDTH, HEIGHT), picture)
    const drawing = alone.milliseconds / alone.drawn
    for (const [encoding, numbers] of Object.entries(ENCODINGS)) {
      if (stalled > 0 && !encoding.startsWith('Tight')) continue
      const screen = new TestScreen(WIDTH, HEIGHT)
      const { keyboard, mouse } = new TestInput()
      const display = await show({ screen, keyboard, mouse })
      const child = await startViewer({
        port: display.address.port,
        encodings: numbers,
        stalled,
        width: WIDTH,
        height: HEIGHT,
      })
      await new Promise(resolve => setTimeout(resolve, 1000))
      const { milliseconds, drawn, read, frames, bytes } = await draw(screen, picture, child.received)
      child.stop()
      await display.close()
      const each = (milliseconds - drawing * drawn) / read
      rows.push([
        name,
        encoding,
        `${each.toFixed(2)} ms`,
        `${(each * RATE * 0.1).toFixed(0)} %`,
        `${(bytes / read / 1024).toFixed(1)} KiB`,
        frames.toFixed(0),
      ])
    }
  }
  table(['picture', 'encoding', 'processing an update', 'of a core at 60/s', 'sent an update', 'updates/s here'], rows)
}

async function key(): Promise<void> {
  const image = join(mkdtempSync(join(tmpdir(), 'typetwo-bench-')), 'echo.img')
  writeFileSync(image, echoDisk())
  const [bios, vga] = await ensureFirmware('seabios', { report: () => {} })
  const machine = await Machine.create({
    memory: 16 * 2 ** 20,
    firmware: await readWhole(bios, 'the firmware'),
    videoBios: await readWhole(vga, 'the BIOS of the display adapter'),
    display: true,
    disks: [{ image, format: 'raw' }],
  })
  await machine.start()
  while (!/Booting from Hard Disk/.test((await machine.screen!.text()) ?? ''))
    await new Promise(resolve => setTimeout(resolve, 100))
  await new Promise(resolve => setTimeout(resolve, 1000))
  const display = await show(machine)
  const socket = connect({ port: display.address.port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const seen = await TestViewer.open(new SocketConnection(socket, 'server', true))
  await seen.setPixelFormat(NOVNC_FORMAT)
  await seen.setEncodings(ENCODING.tight)
  await seen.request(false)
  await seen.update()
  const times: number[] = []
  for (let n = 0; n < KEYS; n++) {
    // The cursor blinks meanwhile: an update counts when there are more lit pixels than a cursor has.
    await new Promise(resolve => setTimeout(resolve, keyPause(n)))
    const letter = 0x61 + (n % 26)
    const before = letters(seen)
    const start = performance.now()
    await seen.key(true, letter)
    for (;;) {
      await seen.request(true)
      await seen.update()
      if (letters(seen) > before) break
    }
    times.push(performance.now() - start)
    await seen.key(false, letter)
  }
  table(['key to letter', 'median', '95 of 100', 'longest'], [['VNC, TCP on this host', ...summary(times)]])
  socket.destroy()
  await display.close()
  await machine.destroy()
}

const letters = ({ picture: { data, width, height } }: TestViewer): number => lit(data, width, height)

function table(head: string[], rows: string[][]): void {
  if (values.markdown) {
    console.log(`| ${head.join(' | ')} |\n|${head.map((_, n) => (n < 1 ? '---|' : '---:|')).join('')}`)
    for (const row of rows) console.log(`| ${row.join(' | ')} |`)
  } else {
    const widths = head.map((_, n) => Math.max(...[head, ...rows].map(row => row[n].length)))
    for (const row of [head, ...rows]) console.log(row.map((cell, n) => cell.padEnd(widths[n])).join('  '))
  }
  console.log()
}

if (values.help) process.stdout.write(HELP)
else {
  console.error(`${cpus()[0].model}, Node ${process.versions.node}`)
  const only = values.only.split(',')
  if (only.includes('updates')) await updates(0)
  if (only.includes('stalled')) await updates(50)
  if (only.includes('key')) await key()
  process.exit()
}

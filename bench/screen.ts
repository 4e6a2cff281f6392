/**
 * What a screen costs whose every pixel changes 60 times a second, beyond the guest's own work: for a reader of its changes, for a
 * viewer by VNC and for the page. `bin/node-new-enough bench/screen.ts [seconds [color|film]]`
 */
import { cpus } from 'node:os'
import type { PixelFormatFields } from '../src/display/rfb/pixel-format.ts'
import { ENCODING } from '../src/display/rfb/protocol.ts'
import { NOVNC_FORMAT } from '../src/display/rfb/test-viewer.ts'
import type { ShownMachine } from '../src/hosts/node/display/display.ts'
import { openDisplay } from '../src/hosts/node/display/index.ts'
import { Machine, type Screen, type ScreenChange } from '../src/hosts/node/index.ts'
import { firmwareImage } from '../test/machine/tiny-firmware.ts'
import { startViewer } from './viewer.ts'

/**
 * A guest that sets 1024 × 768 × 32 by Bochs's display interface, and at each of 60 interrupts of the timer a second fills the frame
 * buffer with another color by one REP STOSD. Between them it halts.
 */
const GUEST =
  // BAR 0 of the adapter in slot 2 is at E0000000h, and answers.
  'fabaf80c66b81010008066efbafc0c66b8000000e066efbaf80c66b80410008066efbafc0cb80300ef' +
  // Four registers of the display interface from a table.
  'be7900b90400bace012eadef422eadefe2f4' +
  // 8259, 8254; descriptor tables, protected mode.
  'b011e620b020e621b004e621b001e621b0fee621b034e643b0aee640b04de6402e660f0116a8002e660f011eae000f20c00c010f22c066eabc000f000800' +
  // The table of modes; GDT; pointers; IDT.
  '01000004020000030300200004004100909090909090900000000000000000ffff0000009bcf00ffff00000093cf00170090000f000701b4ff0e00e5000800008e0f00' +
  // The loop, and the interrupt's handler.
  '66b810008ed88ec08ed0bc0090000031dbfbf4bf000000e0b900000c0089d881c303020100f3abebe950b020e62058cf'
/** What draws, and in its place a way behind the interrupt's handler. */
const FILL = 'f3abebe9'
const FILM_INSTEAD = 'eb09ebe9'
/** Each pixel is the one before and a number; then the next frame. */
const FILM = '05b179379eabe2f8ebd8'
const FILM_STEP = 0x9e3779b1
/** What the color of the first pixel grows by from frame to frame, and what it is multiplied by to give the number of the frame. */
const COLOR_STEP = 0x010203
const COLOR_MASK = 0xffffff
const PER_COLOR = inverse(COLOR_STEP)
const WIDTH = 1024
const HEIGHT = 768
const RATE = 60

const SECONDS = Number(process.argv[2] ?? 10)
/** Until code is translated and its size is settled: milliseconds. */
const WARM_UP = 3000

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))

/** The number that an odd one is multiplied by to give 1, of 24 bits (Newton). */
function inverse(odd: number): number {
  let found = odd
  for (let n = 0; n < 5; n++) found = Math.imul(found, 2 - Math.imul(odd, found))
  return found & COLOR_MASK
}

/** Frames that the guest has drawn. */
async function drawn(machine: Machine, isFilm: boolean): Promise<number> {
  const { width, height, data } = await machine.screen!.image()
  if (width !== WIDTH || height !== HEIGHT) throw new Error(`the guest shows ${width} × ${height}`)
  const color = (data[0] << 16) | (data[1] << 8) | data[2]
  return Math.imul(color - (isFilm ? FILM_STEP : 0), PER_COLOR) & COLOR_MASK
}

/** A machine that is looked at. */
interface Look {
  /** Pictures that came. */
  pictures(): number
  /** Bytes that a viewer has received. */
  received?(): Promise<number>
  end(): Promise<void>
}

/** Reads its changes. */
function byStream(machine: Machine): Look {
  let pictures = 0
  const reader = machine.screen!.changes().getReader()
  const read = async () => {
    while (!(await reader.read()).done) pictures++
  }
  void read()
  return { pictures: () => pictures, end: () => reader.cancel() }
}

/** The machine's screen, whose pictures are counted. */
function counted(screen: Screen, count: () => void): Screen {
  const borrowedChanges = () => {
    const reader = screen.borrowedChanges!().getReader()
    return new ReadableStream<ScreenChange>(
      {
        async pull(controller) {
          const { value, done } = await reader.read()
          if (done) return controller.close()
          count()
          controller.enqueue(value)
        },
        cancel: () => reader.cancel(),
      },
      { highWaterMark: 0 },
    )
  }
  return Object.create(screen, { borrowedChanges: { value: borrowedChanges } })
}

/** Has a viewer look at it, from a process of its own. */
async function byViewer(machine: Machine, kind: 'vnc' | 'web', format?: PixelFormatFields): Promise<Look> {
  const display = await openDisplay({ kind, host: '127.0.0.1', port: 0 }, () => {})
  let pictures = 0
  const screen = counted(machine.screen!, () => pictures++)
  const { keyboard, mouse, stopped, state, drives } = machine
  const shown = { screen, keyboard, mouse, stopped, state, drives, addEventListener() {}, removeEventListener() {} }
  display.show({ machine: shown as unknown as ShownMachine, name: 'bench', ports: [], turnOff() {} })
  const port = Number(/:(\d+)\/?$/.exec(display.place)![1])
  const encodings = [ENCODING.copyRect, ENCODING.tight]
  const viewer = await startViewer({ port, web: kind === 'web', encodings, format, width: WIDTH, height: HEIGHT })
  return {
    pictures: () => pictures,
    received: viewer.received,
    async end() {
      viewer.stop()
      await display.close()
    },
  }
}

const LOOKS: Readonly<Record<string, (machine: Machine) => Look | Promise<Look>>> = {
  'its stream of changes': byStream,
  'a viewer by VNC (Tight, as TigerVNC)': machine => byViewer(machine, 'vnc'),
  'the page (Tight, as noVNC)': machine => byViewer(machine, 'web', NOVNC_FORMAT),
}

/** What came of one: by the second, and CPU time of all threads in milliseconds. */
interface Measured {
  cpu: number
  drawn: number
  pictures: number
  bytes: number
}

async function measure(isFilm: boolean, look?: (machine: Machine) => Look | Promise<Look>): Promise<Measured> {
  const guest = isFilm ? GUEST.replace(FILL, FILM_INSTEAD) + FILM : GUEST
  const firmware = firmwareImage([...Buffer.from(guest, 'hex')])
  const machine = await Machine.create({ firmware, memory: 16 << 20, display: true })
  await machine.start()
  const looked = await look?.(machine)
  await pause(WARM_UP)
  const now = async () => ({
    time: performance.now(),
    cpu: process.cpuUsage(),
    drawn: await drawn(machine, isFilm),
    pictures: looked?.pictures() ?? 0,
    bytes: (await looked?.received?.()) ?? 0,
  })
  const before = await now()
  await pause(SECONDS * 1000)
  const { user, system } = process.cpuUsage(before.cpu)
  const after = await now()
  await looked?.end()
  await machine.destroy()
  const seconds = (after.time - before.time) / 1000
  return {
    cpu: (user + system) / 1000 / seconds,
    drawn: (after.drawn - before.drawn) / seconds,
    pictures: (after.pictures - before.pictures) / seconds,
    bytes: (after.bytes - before.bytes) / seconds,
  }
}

console.error(`${cpus()[0].model}, Node ${process.versions.node}`)
for (const isFilm of process.argv[3] ? [process.argv[3] === 'film'] : [false, true]) {
  const alone = await measure(isFilm)
  const frame = alone.cpu / alone.drawn
  console.log(
    `\n${isFilm ? 'Film: no pixel is as its neighbour' : 'One color'}; the guest alone draws ${alone.drawn.toFixed(0)} frames a second in ${frame.toFixed(2)} ms each`,
  )
  console.log(
    '| who looks | frames drawn/s | pictures/s | beyond the guest, a picture | of a core | at 60/s | KiB a picture |',
  )
  console.log('|---|---:|---:|---:|---:|---:|---:|')
  for (const [name, look] of Object.entries(LOOKS)) {
    const { cpu, drawn, pictures, bytes } = await measure(isFilm, look)
    const beyond = cpu - frame * drawn
    const each = beyond / pictures
    const cells = [drawn.toFixed(1), pictures.toFixed(1), `${each.toFixed(2)} ms`, `${(beyond / 10).toFixed(0)} %`]
    cells.push(`${(each * RATE * 0.1).toFixed(0)} %`, bytes ? (bytes / pictures / 1024).toFixed(1) : '–')
    console.log(`| ${name} | ${cells.join(' | ')} |`)
  }
}
process.exit()

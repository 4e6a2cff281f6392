/** A viewer that we did not write: TigerVNC's, on an X server without a screen. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { rgb, TestScreen } from '../../src/display/test-screen.ts'
import { TestMachine } from '../../src/hosts/node/display/test-machine.ts'
import { openVnc, type VncDisplay, type VncOptions } from '../../src/hosts/node/display/vnc.ts'

/** The programs that are needed, and Debian's packages with them. */
const PROGRAMS = {
  xtigervncviewer: 'tigervnc-viewer',
  vncpasswd: 'tigervnc-tools',
  Xvfb: 'xvfb',
  xdotool: 'xdotool',
  import: 'imagemagick',
}
const missing = Object.entries(PROGRAMS).filter(([program]) => !existsSync(`/usr/bin/${program}`))
const skip =
  missing.length > 0 &&
  `there is no ${missing[0][0]}: on Debian, apt-get install ${missing.map(([, name]) => name).join(' ')}`

const folder = mkdtempSync(join(tmpdir(), 'typetwo-tigervnc-'))
const started: ChildProcess[] = []
const displays: VncDisplay[] = []
after(async () => {
  for (const child of started) child.kill()
  await Promise.all(displays.map(display => display.close()))
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

/** Waits until something is so. */
async function until(is: () => boolean | Promise<boolean>, context = () => ''): Promise<void> {
  const end = Date.now() + 120_000
  while (!(await is())) {
    if (Date.now() > end) throw new Error(`it never came about: ${is}; ${context()}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** An X server that nobody else has. */
async function startX(): Promise<{ DISPLAY: string }> {
  const child = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1024x768x24', '-nolisten', 'tcp', '-noreset'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  })
  started.push(child)
  let number = ''
  for await (const part of child.stdio[3] as Readable) {
    number += part
    if (number.endsWith('\n')) break
  }
  return { DISPLAY: `:${number.trim()}` }
}

/** The X server of all tests. */
let server: Promise<{ DISPLAY: string }> | undefined

/** A machine, its screen in TigerVNC's viewer, and the X server's picture of that. */
async function view(options: Partial<VncOptions>, words: string[], openOptions: { screen?: TestScreen } = {}) {
  const machine = new TestMachine(openOptions.screen ?? TestScreen.picture(640, 400))
  const notes: string[] = []
  const display = await openVnc({ host: '127.0.0.1', port: 0, ...options }, sentence => void notes.push(sentence))
  displays.push(display)
  display.show(machine.shown())
  const env = { ...process.env, ...(await (server ??= startX())), HOME: folder }
  // A window of the screen's size at the corner, without anything around it.
  const viewer = spawn('xtigervncviewer', [...words, `127.0.0.1::${display.address.port}`], { env, stdio: 'pipe' })
  started.push(viewer)
  let said = ''
  viewer.stderr.on('data', part => {
    said += part
  })
  const xdotool = (...what: string[]) => execFileSync('xdotool', what, { env, encoding: 'utf8' })
  const window = () => xdotool('search', '--name', 'TigerVNC').trim().split('\n').at(-1)!
  /** Where the picture begins: there is no window manager to say where windows belong. */
  const corner = () => {
    try {
      const [, x, y] = /Position: (\d+),(\d+)/.exec(xdotool('getwindowgeometry', window())) ?? []
      return [Number(x), Number(y)]
    } catch {
      return [0, 0]
    }
  }
  const pixel = (left: number, top: number) => {
    const [x, y] = corner().map((at, n) => at + [left, top][n])
    const rows = execFileSync('import', ['-window', 'root', '-crop', `1x1+${x}+${y}`, '-depth', '8', 'rgb:-'], { env })
    return [...rows.subarray(0, 3)]
  }
  const close = async () => {
    viewer.kill()
    await once(viewer, 'exit')
  }
  return { machine, display, notes, pixel, corner, window, xdotool, close, said: () => said }
}

const ENCODINGS = {
  Tight: ['-AutoSelect=0', '-PreferredEncoding=Tight'],
  ZRLE: ['-AutoSelect=0', '-PreferredEncoding=ZRLE'],
  Hextile: ['-AutoSelect=0', '-PreferredEncoding=Hextile'],
  Raw: ['-AutoSelect=0', '-PreferredEncoding=Raw'],
  'Tight with few colours': ['-AutoSelect=0', '-PreferredEncoding=Tight', '-FullColor=0', '-LowColorLevel=1'],
}

for (const [name, words] of Object.entries(ENCODINGS))
  test(`TigerVNC's viewer shows the screen: ${name}`, { skip, timeout: 300_000 }, async () => {
    const { machine, pixel, close, said } = await view({}, words)
    const { screen } = machine
    const isFew = name.includes('few')
    const same = (x: number, y: number) => {
      const value = screen.pixels[y * 640 + x]
      const expected = [value & 255, (value >> 8) & 255, (value >> 16) & 255]
      const shown = pixel(x, y)
      return expected.every((channel, n) => Math.abs(channel - shown[n]) <= (isFew ? 48 : 0))
    }
    await until(() => same(600, 20))
    for (const [x, y] of [
      [10, 10],
      [320, 200],
      [500, 180],
      [333, 350],
      [639, 399],
    ])
      await until(
        () => same(x, y),
        () => `${x},${y} is ${pixel(x, y)}; ${said()}`,
      )
    screen.fill({ x: 200, y: 150, width: 64, height: 64 }, rgb(255, 0, 255))
    screen.show({ x: 200, y: 150, width: 64, height: 64 })
    await until(() => same(230, 180))
    // It follows the machine to another size.
    screen.resize(800, 600)
    screen.fill({ x: 700, y: 500, width: 50, height: 50 }, rgb(0, 255, 0))
    screen.show()
    await until(() => pixel(720, 520).join() === '0,255,0')
    await close()
  })

test('it types, clicks and turns the wheel', { skip, timeout: 300_000 }, async () => {
  const { machine, pixel, corner, window, xdotool, close } = await view({}, [])
  const { events } = machine.input
  await until(() => pixel(600, 20).join() === '255,255,255')
  const [left, top] = corner()
  xdotool('mousemove', `${left + 320}`, `${top + 200}`)
  xdotool('click', '1')
  await until(() => events.includes('-button0'))
  assert.ok(events.includes('+button0'))
  const place = events.filter(event => event.startsWith('to ')).at(-1)!
  const [, x, y] = place.split(' ').map(Number)
  assert.ok(Math.abs(x - 0.5) < 0.02 && Math.abs(y - 0.5) < 0.02, place)
  xdotool('click', '5')
  await until(() => events.includes('wheel 1'))
  xdotool('windowfocus', '--sync', window())
  xdotool('key', 'h', 'exclam', 'F5', 'Left', 'KP_Enter')
  await until(
    () => events.includes('-NumpadEnter'),
    () => events.join(),
  )
  const keys = events.filter(event => /^\+[A-Z]/.test(event))
  assert.deepEqual(keys, ['+KeyH', '+ShiftLeft', '+Digit1', '+F5', '+ArrowLeft', '+NumpadEnter'])
  await close()
})

test('it comes in with the password, and by TLS', { skip, timeout: 300_000 }, async () => {
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, 'secret\n', { mode: 0o600 })
  const obscured = execFileSync('vncpasswd', ['-f'], { input: 'secret\n' })
  writeFileSync(join(folder, 'passwd'), obscured)
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1']
  const name = ['-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', [...words, ...name, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  for (const options of [
    { passwordFile },
    { passwordFile, certificate: { cert, key } },
    { certificate: { cert, key } },
  ]) {
    const { pixel, close, notes, said } = await view(options, [`-passwd=${join(folder, 'passwd')}`, `-X509CA=${cert}`])
    await until(() => pixel(600, 20).join() === '255,255,255', said)
    assert.match(said(), 'certificate' in options ? /X509/ : /VncAuth/)
    assert.deepEqual(notes, [])
    await close()
  }
})

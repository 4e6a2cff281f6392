import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encryptDes } from '../../hosts/node/display/vnc.ts'
import { rgb, TestScreen } from '../test-screen.ts'
import { ByteWriter } from './byte-writer.ts'
import type { Connection } from './connection.ts'
import { desKey } from './handshake.ts'
import { ENCODING, FENCE, SIZE_STATUS } from './protocol.ts'
import { testServer } from './test-server.ts'
import { NOVNC_FORMAT, TestViewer } from './test-viewer.ts'

const text = (text: string) => new TextEncoder().encode(text)

/** Waits until something is so. */
async function until(is: () => boolean): Promise<void> {
  while (!is()) await new Promise(resolve => setTimeout(resolve, 5))
}

/** Goes through VNC authentication. @returns SecurityResult */
async function authenticate(viewer: TestViewer, version: string, password: string): Promise<number> {
  const { reader } = viewer
  await reader.bytes(12)
  await viewer.send(text(`RFB 003.${version}\n`))
  if (version === '003') assert.deepEqual([...(await reader.bytes(4))], [0, 0, 0, 2])
  else {
    assert.deepEqual([...(await reader.bytes(2))], [1, 2])
    await viewer.send([2])
  }
  const challenge = await reader.bytes(16)
  const key = desKey(password)
  await viewer.send([...encryptDes(key, challenge.subarray(0, 8)), ...encryptDes(key, challenge.subarray(8))])
  await reader.need(4)
  return reader.u32()
}

test('viewers of RFB 3.3, 3.7 and 3.8 are let in without a password where none is asked for', async () => {
  for (const version of ['003', '007', '008']) {
    const viewer = await TestViewer.create(testServer().connect().viewer)
    assert.equal(new TextDecoder().decode(await viewer.reader.bytes(12)), 'RFB 003.008\n')
    await viewer.send(text(`RFB 003.${version}\n`))
    if (version === '003') assert.deepEqual([...(await viewer.reader.bytes(4))], [0, 0, 0, 1])
    else {
      assert.deepEqual([...(await viewer.reader.bytes(2))], [1, 1])
      await viewer.send([1])
    }
    if (version === '008') assert.deepEqual([...(await viewer.reader.bytes(4))], [0, 0, 0, 0])
    await viewer.begin()
    assert.deepEqual([viewer.name, viewer.picture.width, viewer.picture.height], ['test', 200, 150])
    viewer.close()
  }
})

test('the password is asked for, in every version', async () => {
  const { connect } = testServer({ password: 'Geheim!1 and more' })
  for (const version of ['003', '007', '008']) {
    const viewer = await TestViewer.create(connect().viewer)
    // Eight characters count.
    assert.equal(await authenticate(viewer, version, 'Geheim!1'), 0)
    await viewer.begin()
    viewer.close()
  }
})

test('wrong passwords are answered later and later, one after another, and logged', async () => {
  const waited: number[] = []
  let release = () => {}
  const delay = (milliseconds: number) => {
    waited.push(milliseconds)
    return new Promise<void>(resolve => {
      release = resolve
    })
  }
  const { connect, said } = testServer({ password: 'right', delay })
  const attempt = async (password: string, peer: string) => {
    const viewer = await TestViewer.create(connect({ peer }).viewer)
    const result = await authenticate(viewer, '008', password)
    // Nobody waits for what comes after the password.
    if (result === 0) viewer.close()
    return { viewer, result }
  }
  const first = attempt('wrong', '10.0.0.1:1000')
  await until(() => waited.length === 1)
  // Another connection from there waits for its turn; one from elsewhere does not.
  const second = attempt('wrong', '10.0.0.1:2000')
  assert.equal((await attempt('right', '10.0.0.2:1000')).result, 0)
  assert.deepEqual(waited, [1000])
  release()
  const { viewer, result } = await first
  assert.equal(result, 1)
  await viewer.reader.need(4)
  assert.equal(new TextDecoder().decode(await viewer.reader.bytes(viewer.reader.u32())), 'Wrong password')
  await until(() => waited.length === 2)
  release()
  assert.equal((await second).result, 1)
  assert.deepEqual(waited, [1000, 2000])
  assert.match(said[0], /wrong password from 10\.0\.0\.1:1000, once in a row/)
  assert.ok(said.some(sentence => /wrong password from 10\.0\.0\.1:2000, 2 times in a row/.test(sentence)))
  // The right one ends it.
  assert.equal((await attempt('right', '10.0.0.1:1')).result, 0)
  const third = attempt('wrong', '10.0.0.1:1000')
  await until(() => waited.length === 3)
  release()
  await third
  assert.equal(waited[2], 1000)
})

test('too many attempts at once are refused', async () => {
  const held = Promise.withResolvers<void>()
  const { connect, said } = testServer({ password: 'right', delay: () => held.promise })
  const attempt = async () => authenticate(await TestViewer.create(connect().viewer), '008', 'x')
  const results = Array.from({ length: 5 }, attempt)
  assert.equal(await Promise.race(results), 1)
  assert.ok(said.some(sentence => /too many passwords at once/.test(sentence)))
  held.resolve()
  await Promise.all(results)
})

test('viewers that follow no protocol are sent away with a sentence', async () => {
  for (const [bytes, sentence] of [
    [text('GET / HTTP/1.1\r\n\r\n'), /what came first is no version of RFB/],
    [[...text('RFB 003.008\n'), 7], /security type 7/],
    [[...text('RFB 003.008\n'), 1, 1, 99], /message 99/],
    [[...text('RFB 003.008\n'), 1, 1, 0, 0, 0, 0, 24, 24, ...new Array(14).fill(0)], /no pixels of 24 bits/],
    [[...text('RFB 003.008\n'), 1, 1, 2, 0, 0xff, 0xff], /65535 encodings/],
  ] as const) {
    const { connect, said } = testServer()
    const { viewer, done } = connect()
    void viewer.write(Uint8Array.from(bytes)).catch(() => {})
    await done
    assert.match(said.join('\n'), sentence)
  }
})

test('keys by keysym and by place, with Shift where the guest needs it, and all released at the end', async () => {
  const { input, view } = testServer()
  const viewer = await view()
  await viewer.key(true, 0x61)
  await viewer.key(true, 0x61) // repeated by the viewer: the guest's keyboard repeats by itself
  await viewer.key(false, 0x61)
  await viewer.key(true, 0x40) // @ without Shift, as from a German keyboard
  await viewer.key(false, 0x40)
  await viewer.key(true, 0xffe1)
  await viewer.key(true, 0x41)
  await viewer.key(false, 0x41)
  await viewer.key(true, 0x2f) // / with Shift
  await viewer.key(false, 0x2f)
  await viewer.key(false, 0xffe1)
  await viewer.key(true, 0xe9)
  // QEMU's: right Ctrl by its place, then something that only its keysym knows.
  const qemu = (isDown: number, keysym: number, code: number) =>
    viewer.send(new ByteWriter().u8(255).u8(0).u16(isDown).u32(keysym).u32(code))
  await qemu(1, 0, 0x9d)
  await qemu(0, 0, 0x9d)
  await qemu(1, 0xff1b, 0)
  await viewer.key(true, 0xff0d)
  await until(() => input.events.includes('+Enter'))
  viewer.close()
  await until(() => input.events.includes('-Enter'))
  assert.deepEqual(
    input.events.join(' '),
    '+KeyA -KeyA +ShiftLeft +Digit2 -ShiftLeft -Digit2 +ShiftLeft +KeyA -KeyA -ShiftLeft +Slash +ShiftLeft -Slash -ShiftLeft ' +
      'type é +ControlRight -ControlRight +Escape +Enter -Escape -Enter',
  )
})

test("Caps Lock is the guest's affair", async () => {
  const { input, view } = testServer()
  const viewer = await view()
  for (const keysym of [0xffe5, 0x41, 0x42]) {
    await viewer.key(true, keysym)
    await viewer.key(false, keysym)
  }
  await until(() => input.events.includes('-KeyB'))
  assert.equal(input.events.join(' '), '+CapsLock -CapsLock +KeyA -KeyA +KeyB -KeyB')
})

test("the viewer's clipboard is typed on Ctrl-Alt-V, and not before", async () => {
  const { input, view } = testServer()
  const viewer = await view()
  await viewer.send(new ByteWriter().u8(6).u8(0).u16(0).text('ls -l\r\n'))
  const tap = async (keysym: number) => {
    await viewer.key(true, keysym)
    await viewer.key(false, keysym)
  }
  await tap(0x76)
  await viewer.key(true, 0xffe3)
  await tap(0x76)
  await viewer.key(true, 0xffe9)
  await tap(0x79)
  await tap(0x76)
  await viewer.key(true, 0x78)
  await until(() => input.events.includes('+KeyX'))
  assert.equal(
    input.events.join(' '),
    '+KeyV -KeyV +ControlLeft +KeyV -KeyV +AltLeft +KeyY -KeyY -ControlLeft -AltLeft type ls -l\n +KeyX',
  )
})

test('a clipboard without end is read over, not kept', async () => {
  const { input, view } = testServer()
  const viewer = await view()
  const length = 8 * 1024 * 1024
  await viewer.send(new ByteWriter().u8(6).u8(0).u16(0).u32(length))
  for (let sent = 0; sent < length; sent += 65536) await viewer.send(new Uint8Array(65536).fill(0x20))
  await viewer.key(true, 0x61)
  await until(() => input.events.includes('+KeyA'))
})

test('the pointer is told in parts of the screen, with buttons and wheel', async () => {
  const { input, view } = testServer()
  const viewer = await view()
  await viewer.pointer(0, 0, 0)
  await viewer.pointer(1, 199, 149)
  await viewer.pointer(5, 199, 149)
  await viewer.pointer(8, 100, 149)
  await viewer.pointer(0x10, 100, 149)
  await viewer.pointer(2, 100, 149)
  await until(() => input.events.includes('+button1'))
  viewer.close()
  await until(() => input.events.includes('-button1'))
  assert.equal(
    input.events.join(', '),
    'to 0.000 0.000, to 1.000 1.000, +button0, +button2, to 0.503 1.000, -button0, -button2, wheel -1, wheel 1, +button1, -button1',
  )
})

test('a viewer that knows new sizes is told, and one that does not gets what fits', async () => {
  const screen = TestScreen.picture(200, 150)
  const { view } = testServer({}, screen)
  const viewers = [await view(), await view(), await view()]
  const encodings = [ENCODING.extendedDesktopSize, ENCODING.desktopSize, ENCODING.raw]
  for (const [n, viewer] of viewers.entries()) {
    await viewer.setPixelFormat(NOVNC_FORMAT)
    await viewer.setEncodings(ENCODING.hextile, encodings[n])
    await viewer.request(false)
    await viewer.update()
    // What was announced came first.
    if (n === 0) await viewer.update()
    await viewer.request(true)
  }
  screen.width = 320
  screen.height = 100
  screen.pixels = new Uint32Array(320 * 100).fill(rgb(0, 128, 255))
  screen.show()
  for (const [n, viewer] of viewers.entries()) {
    const { encodings: sent } = await viewer.update()
    if (n < 2) {
      assert.deepEqual(sent, [encodings[n]])
      assert.deepEqual([viewer.picture.width, viewer.picture.height], [320, 100])
      await viewer.request(false)
      await viewer.update()
    }
    const { width, data } = viewer.picture
    assert.deepEqual([...data.subarray((99 * width + 199) * 4, (99 * width + 200) * 4)], [0, 128, 255, 255])
  }
})

test("a viewer's wish for another size is refused, or told to the guest", async () => {
  const { view, screen } = testServer()
  const viewer = await view()
  await viewer.setEncodings(ENCODING.raw, ENCODING.extendedDesktopSize)
  await viewer.request(false)
  await viewer.update()
  await viewer.update()
  await viewer.setDesktopSize(800, 600)
  await viewer.request(true)
  await viewer.update()
  assert.equal(viewer.sizeAnswer, SIZE_STATUS.prohibited)
  assert.equal(viewer.picture.width, 200)
  const wishes: number[][] = []
  screen.preferSize = (width, height) => wishes.push([width, height])
  await viewer.setDesktopSize(800, 600)
  await viewer.request(true)
  await viewer.update()
  assert.deepEqual(wishes, [[800, 600]])
  assert.equal(viewer.sizeAnswer, SIZE_STATUS.forwarded)
  assert.equal(viewer.picture.width, 200)
})

test('a viewer that wishes at once is answered, whatever else it has to hear of', async () => {
  const { view, screen } = testServer()
  screen.preferSize = () => {}
  const viewer = await view()
  await viewer.setEncodings(ENCODING.raw, ENCODING.extendedDesktopSize)
  await viewer.setDesktopSize(800, 600)
  while (viewer.sizeAnswer === undefined) {
    await viewer.request(false)
    await viewer.update()
  }
  assert.equal(viewer.sizeAnswer, SIZE_STATUS.forwarded)
})

test('cursor and extended keys are announced', async () => {
  const { view } = testServer()
  const viewer = await view()
  await viewer.setEncodings(ENCODING.zrle, ENCODING.cursor, ENCODING.qemuExtendedKeyEvent)
  await viewer.request(false)
  assert.deepEqual((await viewer.update()).encodings, [ENCODING.cursor, ENCODING.qemuExtendedKeyEvent])
  assert.ok(viewer.hasQemuKeys)
})

test('continuous updates come unasked, no more than are answered, and end when told', async () => {
  const { screen, view } = testServer()
  const viewer = await view()
  await viewer.setPixelFormat(NOVNC_FORMAT)
  await viewer.setEncodings(ENCODING.raw, ENCODING.fence, ENCODING.continuousUpdates)
  const fence = await viewer.event()
  assert.equal(fence.type, 'fence')
  assert.deepEqual(await viewer.event(), { type: 'end of continuous updates' })
  const enable = (on: number) => viewer.send(new ByteWriter().u8(150).u8(on).u16(0).u16(0).u16(200).u16(150))
  await enable(1)
  const area = { x: 0, y: 0, width: 8, height: 8 }
  const show = (n: number) => {
    screen.fill(area, rgb(n, n, n))
    screen.show(area)
  }
  const payloads: Uint8Array[] = []
  for (let n = 0; n < 3; n++) {
    await viewer.update()
    const event = await viewer.event()
    assert.ok(event.type === 'fence' && event.flags === (FENCE.request | FENCE.blockBefore) >>> 0)
    payloads.push(event.payload)
    show(10 + n)
  }
  // Three are on their way: the next one waits for an answer.
  let came = false
  const next = viewer.update().then(() => {
    came = true
  })
  await new Promise(resolve => setTimeout(resolve, 50))
  assert.equal(came, false)
  const answer = (payload: Uint8Array) =>
    viewer.send(new ByteWriter().u8(248).u8(0).u16(0).u32(FENCE.blockBefore).u8(payload.length).bytes(payload))
  await answer(payloads[0])
  await next
  assert.equal(viewer.picture.data[0], 12)
  await viewer.event()
  await enable(0)
  assert.deepEqual(await viewer.event(), { type: 'end of continuous updates' })
  // A fence of the viewer's is answered with what it sent, and without what is not known.
  await viewer.send(new ByteWriter().u8(248).u8(0).u16(0).u32(0x8000_0107).u8(3).bytes(text('abc')))
  assert.deepEqual(await viewer.event(), { type: 'fence', flags: 7, payload: text('abc') })
})

test('a request for a part gets that part, and does not spin for the rest', async () => {
  const { screen, view } = testServer()
  const viewer = await view()
  await viewer.setEncodings(ENCODING.raw)
  await viewer.request(false, [0, 0, 32, 32])
  assert.ok((await viewer.update()).bytes < 32 * 32 * 4 + 100)
  await viewer.request(true, [0, 0, 32, 32])
  const read = screen.read
  await new Promise(resolve => setTimeout(resolve, 30))
  assert.ok(screen.read <= read + 1)
  screen.fill({ x: 0, y: 0, width: 4, height: 4 }, rgb(1, 2, 3))
  screen.show({ x: 0, y: 0, width: 4, height: 4 })
  await viewer.update()
})

test('50 viewers that stall cost the guest nothing and no memory, and the others see on', async () => {
  const screen = TestScreen.picture(640, 480)
  const { view, connect, server } = testServer({}, screen)
  const stalled: { waiting: () => number; viewer: Connection; done: Promise<void> }[] = []
  for (let n = 0; n < 50; n++) {
    const connection = connect({ peer: `10.0.0.${n}:1` })
    const viewer = await TestViewer.open(connection.viewer)
    await viewer.setEncodings(n % 2 ? ENCODING.raw : ENCODING.tight, ENCODING.fence, ENCODING.continuousUpdates)
    await viewer.request(false)
    await viewer.send(new ByteWriter().u8(150).u8(1).u16(0).u16(0).u16(640).u16(480))
    stalled.push(connection)
  }
  await until(() => stalled.every(({ waiting }) => waiting() > 0))
  const before = stalled.map(({ waiting }) => waiting())
  const alive = await view()
  await alive.setPixelFormat(NOVNC_FORMAT)
  await alive.setEncodings(ENCODING.zrle)
  await alive.request(false)
  await alive.update()
  const reads = screen.read
  for (let n = 0; n < 100; n++) {
    screen.fill({ x: 0, y: 0, width: 640, height: 480 }, rgb(n, 0, 0))
    screen.show()
    await alive.request(true)
    await alive.update()
    assert.equal(alive.picture.data[0], n)
  }
  // One reader for all of them, which reads what the one takes.
  assert.equal(screen.readers, 1)
  assert.ok(screen.read - reads <= 102)
  const limit = 2 * 640 * 480 * 4
  for (const [n, { waiting }] of stalled.entries()) assert.ok(waiting() < before[n] + limit, `${waiting()} bytes wait`)
  assert.equal(server.viewers, 51)
  for (const { viewer } of stalled) viewer.close()
  alive.close()
  await Promise.all(stalled.map(({ done }) => done))
  await until(() => server.viewers === 0)
  // Nobody looks: nothing is drawn.
  await until(() => screen.readers === 0)
})

test('connections that never say anything make room for others', async () => {
  const { connect, server } = testServer({ password: 'secret' })
  const silent = Array.from({ length: 200 }, () => connect())
  await Promise.all(silent.slice(0, 136).map(({ done }) => done))
  const viewer = await TestViewer.create(connect().viewer)
  assert.equal(await authenticate(viewer, '008', 'secret'), 0)
  await viewer.begin()
  assert.equal(server.viewers, 1)
  server.close()
  await Promise.all(silent.map(({ done }) => done))
})

test('a flood of keys is let through no faster than a guest can take it', async () => {
  const { input, view } = testServer()
  const viewer = await view()
  const flood = new ByteWriter()
  for (let n = 0; n < 4000; n++)
    flood
      .u8(5)
      .u8(0)
      .u16(n % 200)
      .u16(0)
  void viewer.send(flood).catch(() => {})
  await new Promise(resolve => setTimeout(resolve, 100))
  assert.ok(input.events.length < 2000, `${input.events.length} events`)
  viewer.close()
})

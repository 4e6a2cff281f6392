/** The part of bench/browser.ts that runs in the page: a guest, from its files to its end. */
import { Machine } from 'typetwo'
import { type GuestRun, runGuest } from './browser-guest.ts'
import { echoDisk, KEYS, keyPause, lit } from './echo.ts'

const get = (path: string) => async () => new Uint8Array(await (await fetch(path)).arrayBuffer())

/** Milliseconds from pressing keys until the machine's screen tells their letters. */
async function keys(): Promise<number[]> {
  const machine = await Machine.create({
    memory: 16 * 2 ** 20,
    firmware: get('bios'),
    videoBios: get('vgabios'),
    display: true,
    disks: [{ image: new File([echoDisk()], 'echo.img'), format: 'raw' }],
  })
  await machine.start()
  const screen = machine.screen!
  const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))
  while (!/Booting from Hard Disk/.test((await screen.text()) ?? '')) await pause(100)
  await pause(1000)
  let [picture, stride] = [new Uint8Array(0), 0]
  let changed = () => {}
  void (async () => {
    for await (const { width, height, rectangles } of screen.changes()) {
      if (picture.length !== width * height * 4) picture = new Uint8Array(width * height * 4)
      stride = width
      for (const { x, y, width, height, data } of rectangles)
        for (let row = 0; row < height; row++)
          picture.set(data.subarray(row * width * 4, (row + 1) * width * 4), ((y + row) * stride + x) * 4)
      changed()
    }
  })()
  const letters = () => lit(picture, stride, picture.length / 4 / stride)
  const times: number[] = []
  for (let n = 0; n < KEYS; n++) {
    await pause(keyPause(n))
    const before = letters()
    const code = `Key${String.fromCharCode(0x41 + (n % 26))}`
    const start = performance.now()
    machine.keyboard.press(code)
    while (letters() <= before)
      await new Promise<void>(resolve => {
        changed = resolve
      })
    times.push(performance.now() - start)
    machine.keyboard.release(code)
  }
  await machine.destroy()
  return times
}

Object.assign(globalThis, {
  keys,
  run: (commandLine: string): Promise<GuestRun> =>
    runGuest(
      options => Machine.create(options),
      { kernel: get('kernel'), initrd: get('ramdisk'), commandLine },
      (globalThis as unknown as { said(name: string): void }).said,
    ),
})

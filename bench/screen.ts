/** What a screen costs whose every pixel changes 60 times a second: `bin/node-new-enough bench/screen.ts [seconds]`. */
import { Machine, type ScreenChange } from '../src/hosts/node/index.ts'
import { firmwareImage } from '../test/machine/tiny-firmware.ts'

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
const SECONDS = Number(process.argv[2] ?? 10)
/** Until code is translated and its size is settled. */
const WARM_UP = 3000

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))

/** Seconds of CPU that a second takes, of all threads; and the pictures that came in one. */
async function measure(watched: boolean): Promise<{ cpu: number; pictures: number }> {
  const firmware = firmwareImage([...Buffer.from(GUEST, 'hex')])
  const machine = await Machine.create({ firmware, memory: 16 << 20, display: true })
  await machine.start()
  let pictures = 0
  if (watched) {
    const reader = machine.screen!.changes().getReader()
    const read = async () => {
      for (;;) {
        const { value, done } = (await reader.read()) as ReadableStreamReadResult<ScreenChange>
        if (done) return
        if (value.width === 1024) pictures++
      }
    }
    void read()
  }
  await pause(WARM_UP)
  const before = process.cpuUsage()
  const from = pictures
  const began = performance.now()
  await pause(SECONDS * 1000)
  const { user, system } = process.cpuUsage(before)
  const seconds = (performance.now() - began) / 1000
  const image = await machine.screen!.image()
  if (image.width !== 1024 || image.height !== 768) throw new Error(`the guest shows ${image.width} × ${image.height}`)
  await machine.destroy()
  return { cpu: (user + system) / 1e6 / seconds, pictures: (pictures - from) / seconds }
}

const alone = await measure(false)
const watched = await measure(true)
console.log(`the guest alone:     ${(alone.cpu * 100).toFixed(1)} % of a core`)
console.log(
  `with its screen:     ${(watched.cpu * 100).toFixed(1)} %, ${watched.pictures.toFixed(1)} pictures a second`,
)
console.log(`the screen's share:  ${((watched.cpu - alone.cpu) * 100).toFixed(1)} %`)

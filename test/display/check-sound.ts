/** What a guest plays by its own driver, sample by sample in the file that is recorded: with an idle processor, and a busy one. */
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { desktopWords } from './check-desktop.ts'
import type { Check } from './checks.ts'
import { type Seat, sleep } from './seat.ts'

const RATE = 48_000
const SECONDS = 10
const FRAMES = RATE * SECONDS
const TONE = 440
/** Of full scale. */
const LOUDNESS = 0.5
/** Steps of 16 bits by which a sample may differ: it is scaled there and back. */
const ROUNDING = 2
/** The header of the WAV file. */
const HEADER = 44

/** Keeps a processor busy for half of the time, until it is told to end. */
const LOAD = `while :; do :; done & p=$!
trap 'kill -CONT $p; kill $p; exit' TERM
while :; do kill -STOP $p; sleep .05; kill -CONT $p; sleep .05; done
`

/** Ticks of the processor since its start: all, and idle ones. */
const TICKS = 'read -r _ a b c d e f g _ </proc/stat; echo ticks $((a+b+c+d+e+f+g)) $((d+e))'

/** A tone that is nowhere silent: the sides are a quarter of a period apart. */
function tone(): Int16Array {
  return Int16Array.from({ length: 2 * FRAMES }, (_, n) => {
    const angle = (2 * Math.PI * TONE * (n >> 1)) / RATE
    return Math.round(32767 * LOUDNESS * (n & 1 ? Math.sin(angle) : Math.cos(angle)))
  })
}

/** Samples of the file, from the `from`th on. */
async function recorded(wav: string, from: number): Promise<Int16Array> {
  const bytes = await readFile(wav)
  const { buffer } = Uint8Array.from(bytes.subarray(HEADER, bytes.length - (bytes.length % 4)))
  return new Int16Array(buffer).subarray(from)
}

/** @throws Error where a sample of what was played is missing or another in what was heard */
function sameTone(played: Int16Array, heard: Int16Array): void {
  const start = heard.findIndex((sample, n) => n % 2 === 0 && sample !== 0)
  if (start < 0) throw new Error('nothing was heard')
  const wrong = played.findIndex((sample, n) => !(Math.abs(sample - heard[start + n]) <= ROUNDING))
  if (wrong < 0) return
  const [before, after] = [-4, 12].map(n => [...heard.subarray(start + wrong + n, start + wrong + n + 12)].join(' '))
  throw new Error(
    `after ${(wrong / 2 / RATE).toFixed(4)} s sample ${played[wrong]} was heard as ${heard[start + wrong]}: ${before} … ${after}`,
  )
}

/** Plays the tone. @returns which part of the processor's time was taken meanwhile */
async function play(seat: Seat, wav: string, played: Int16Array): Promise<number> {
  const { com1 } = seat
  const from = (await recorded(wav, 0)).length
  const output = await com1.command(
    `${TICKS}; head -c ${played.byteLength} /dev/vdb | aplay -q -D hw:0 -t raw -f S16_LE -r ${RATE} -c 2; ${TICKS}`,
    600,
  )
  if (/run/i.test(output)) throw new Error(`aplay says: ${output}`)
  // What the recorder has not written yet.
  await sleep(3000)
  sameTone(played, await recorded(wav, from))
  const [all, idle] = [1, 2].map(n => {
    const [first, second] = [...output.matchAll(/ticks (\d+) (\d+)/g)].map(match => Number(match[n]))
    return second - first
  })
  return 1 - idle / all
}

/** A Debian without a screen whose ALSA plays by AC'97. @param clock what guest time follows */
export const sound = (clock: 'instructions' | 'host'): Check => ({
  name: `sound-${clock}`,
  how: `ALSA's snd_intel8x0 plays ${SECONDS} s of a tone while the guest is idle, and while a loop takes half of its time; --clock ${clock}`,
  shows: 'every sample in the WAV file, none missing between',
  async use({ say, start }) {
    const folder = await mkdtemp(join(tmpdir(), 'typetwo-tone-'))
    try {
      const [scratch, wav] = ['tone.img', 'sound.wav'].map(name => join(folder, name))
      const played = tone()
      await writeFile(scratch, new Uint8Array(played.buffer))
      const file = await open(scratch, 'r+')
      await file.truncate(2 ** 22)
      await file.close()
      const seat = await start([
        ...(await desktopWords(folder, 'none', say)),
        ...['--disk', `${scratch},bus=virtio,format=raw`, '--sound', `wav:${wav},ac97`, '--serial', 'stdio'],
        ...['--clock', clock],
      ])
      const { com1 } = seat
      await com1.until(/root@desktop:~# /, 1800)
      // What systemd starts late.
      await com1.command('systemctl is-system-running --wait', 900)
      for (let tries = 0; !/Intel/.test(await com1.command('cat /proc/asound/cards', 120)); tries++) {
        if (tries > 60) throw new Error('ALSA has no card')
        await sleep(2000)
      }
      await com1.command('amixer -q sset Master 0dB unmute; amixer -q sset PCM 0dB unmute', 300)
      const idle = await play(seat, wav, played)
      say(`idle: ${Math.round(100 * idle)} % of the processor's time was taken`)
      await com1.command(`cat >load <<'EOF'\n${LOAD}EOF\nbash load & sleep 1`)
      const busy = await play(seat, wav, played)
      say(`busy: ${Math.round(100 * busy)} % of the processor's time was taken`)
      if (busy < 0.4) throw new Error(`the guest was busy for ${Math.round(100 * busy)} % of the time only`)
      await com1.command('kill %1; wait')
      com1.type('poweroff\n')
      await com1.ended(600)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
})

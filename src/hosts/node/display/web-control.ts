/** What the console's page asks of a machine, and what it is told: JSON in a WebSocket. */
import type { WebSocket } from 'ws'
import { RateLimit } from '../../../display/rfb/rate-limit.ts'
import type { MachineEnd } from '../../../machine/messages.ts'
import type { Shown } from './display.ts'
import type { MediaFolder, Medium } from './media-folder.ts'
import type { SerialRecord } from './serial-record.ts'

/** What a page is told without asking. */
export type Told =
  | {
      type: 'machine'
      name: string
      state: string
      hasScreen: boolean
      /** Drives whose media can be changed. */
      drives: { name: string; kind: string }[]
      /** COM1, and the others that the guest has said something by. */
      ports: string[]
      /** Whether there is a folder of media. */
      hasMedia: boolean
    }
  | { type: 'state'; state: string }
  | { type: 'ended'; end: Pick<MachineEnd, 'reason' | 'message'> }
  | { type: 'restarted' }
  /** The guest has begun to use another serial port. */
  | { type: 'port'; name: string }
  /** The answer to the question of that number. */
  | { type: 'answer'; id: number; error?: string; media?: Medium[] }

/** What a page asks. */
export type Asked =
  | { type: 'power' | 'off' | 'reset' | 'pause' | 'resume' | 'media' }
  | { type: 'key'; code: string; pressed: boolean }
  | { type: 'type'; text: string }
  | { type: 'insert'; drive: string; name: string }
  | { type: 'eject'; drive: string; force: boolean }

/** The most characters that are typed at once. */
const MOST_TYPED = 65_536

/** Keys that a page may hold. */
const MOST_HELD = 32

/** Questions of a page that may be open at the same time. */
const MOST_UNANSWERED = 8

/** The sentence of an error of the machine or of the host. */
function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Serves one page until it goes. */
export function serveControl(
  socket: WebSocket,
  shown: Shown,
  records: ReadonlyMap<string, SerialRecord>,
  media: MediaFolder | undefined,
): void {
  const { machine } = shown
  const isUsed = (name: string, record: SerialRecord) => name === 'COM1' || record.isHeard
  const all = [...records]
  const held = new Set<string>()
  const limit = new RateLimit(500, 200)
  let turn = Promise.resolve()
  let unanswered = 0
  let isTyping = false
  const tell = (told: Told) => {
    // A page that does not listen is not told for ever.
    if (socket.bufferedAmount > 1 << 20) socket.terminate()
    else if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(told))
  }
  const onState = () => tell({ type: 'state', state: machine.state })
  const onRestart = () => tell({ type: 'restarted' })
  machine.addEventListener('statechange', onState)
  machine.addEventListener('restart', onRestart)
  socket.on('close', () => {
    machine.removeEventListener('statechange', onState)
    machine.removeEventListener('restart', onRestart)
    for (const code of held) machine.keyboard.release(code)
  })
  tell({
    type: 'machine',
    name: shown.name,
    state: machine.state,
    hasScreen: machine.screen !== undefined,
    drives: machine.drives.filter(({ kind }) => kind !== 'disk').map(({ name, kind }) => ({ name, kind })),
    ports: all.filter(([name, record]) => isUsed(name, record)).map(([name]) => name),
    hasMedia: media !== undefined,
  })
  for (const [name, record] of all)
    if (!isUsed(name, record)) void record.heard.then(() => tell({ type: 'port', name }))
  machine.stopped.then(({ reason, message }) => tell({ type: 'ended', end: { reason, message } }))
  socket.on('message', data => {
    socket.pause()
    turn = turn
      .then(async () => {
        await limit.take()
        // What takes long does not keep the rest waiting: a button is heard while a text is being typed.
        const answered = answer(String(data))
        if (++unanswered >= MOST_UNANSWERED) await answered
        void answered.finally(() => unanswered--)
      })
      .finally(() => socket.resume())
  })

  async function answer(text: string): Promise<void> {
    let question: (Asked & { id?: number }) | undefined
    try {
      question = JSON.parse(text)
    } catch {
      // Said below.
    }
    if (typeof question !== 'object' || question === null || typeof question.type !== 'string') {
      socket.close(1008, 'that is no question')
      return
    }
    const id = Number.isInteger(question.id) ? question.id! : -1
    try {
      tell({ type: 'answer', id, ...(await act(question)) })
    } catch (error) {
      tell({ type: 'answer', id, error: sentenceOf(error) })
    }
  }

  async function act(asked: Asked): Promise<{ media?: Medium[] } | undefined> {
    switch (asked.type) {
      case 'power':
        await machine.pressPowerButton()
        return
      case 'off':
        shown.turnOff()
        return
      case 'reset':
        await machine.reset()
        return
      case 'pause':
        await machine.pause()
        return
      case 'resume':
        await machine.resume()
        return
      case 'key':
        key(String(asked.code), asked.pressed === true)
        return
      case 'type': {
        const typed = String(asked.text)
        if (typed.length > MOST_TYPED) throw new Error(`at most ${MOST_TYPED} characters are typed at once`)
        if (isTyping) throw new Error('a text is being typed already: wait until it is there')
        isTyping = true
        try {
          await machine.keyboard.type(typed.replaceAll('\r\n', '\n'))
        } finally {
          isTyping = false
        }
        return
      }
      case 'media':
        return { media: (await media?.list()) ?? [] }
      case 'insert': {
        if (!media) throw new Error('no folder of media was allowed: start typetwo with --display web=…,media=FOLDER')
        await driveOf(asked.drive).insert(await media.path(String(asked.name)), { readOnly: true })
        return
      }
      case 'eject':
        await driveOf(asked.drive).eject({ force: asked.force === true })
        return
      default:
        throw new Error('the page asks for what this typetwo does not know: reload it')
    }
  }

  function driveOf(name: string) {
    const drive = machine.drives.find(drive => drive.name === name && drive.kind !== 'disk')
    if (!drive) throw new Error(`there is no drive '${String(name).slice(0, 40)}' whose medium could be changed`)
    return drive
  }

  function key(code: string, pressed: boolean): void {
    if (code.length > 32) return
    if (!pressed) {
      held.delete(code)
      machine.keyboard.release(code)
    } else if (held.size < MOST_HELD) {
      held.add(code)
      machine.keyboard.press(code)
    }
  }
}

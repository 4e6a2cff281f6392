/** What consoles of machines have in common, be the machine in the page or on a server. */
import { ask, h, save } from './dom.ts'

/** From so many times its size on, pixels of a screen are shown as squares and whole multiples. */
export const CRISP = 2

/** What states of a machine are called. */
export const STATES: Readonly<Record<string, string>> = {
  created: 'Starting',
  running: 'Running',
  paused: 'Paused',
  stopped: 'Off',
}

/** How machines end. */
const ENDINGS: Readonly<Record<string, string>> = {
  poweroff: 'The machine turned itself off',
  reset: 'The machine was reset',
  'triple-fault': 'The processor gave up (triple fault)',
  'debug-exit': 'The guest ended the machine',
  destroyed: 'The machine was turned off',
  error: 'The machine ended with an error',
}

/** The heading of a machine's end, a sentence where there is one to say, and lines for who wants to know more. */
export function endingText({ reason, message = '' }: { reason: string; message?: string }): Node[] {
  const [first, ...more] = message.split('\n')
  return [
    h('h2', {}, ENDINGS[reason] ?? 'The machine ended'),
    ...(first === '' ? [] : [h('p', {}, `${first.charAt(0).toUpperCase()}${first.slice(1).replace(/\.?$/, '.')}`)]),
    ...(more.length === 0 ? [] : [h('details', {}, h('summary', {}, 'Details'), h('pre', {}, more.join('\n')))]),
  ]
}

/** Asks whether a machine is to be turned off. */
export function askToTurnOff(): Promise<boolean> {
  return ask({
    title: 'Turn the machine off?',
    content: [
      'The guest is not asked first, as when the plug is pulled: what it has not written to its disks is lost.',
    ],
    action: 'Turn it off',
    danger: true,
  })
}

/** The text of the clipboard; where the browser does not let the page read it, what the person puts into a dialog. */
export async function textToPaste(): Promise<string> {
  try {
    return await navigator.clipboard.readText()
  } catch {
    const area = h('textarea', { 'aria-label': 'Text', autofocus: true })
    const chosen = await ask({
      title: 'Paste text',
      content: [
        'The browser does not let the page read the clipboard: put the text here.',
        h('div', { class: 'field' }, area),
      ],
      action: 'Type it',
    })
    return chosen ? area.value : ''
  }
}

/** Has the browser save a picture, with the machine's name and the time in the file's. */
export function savePicture(picture: Blob, machine: string): void {
  const time = new Date().toISOString().slice(0, 19).replaceAll(':', '-')
  save(picture, `${machine} ${time}.png`)
}

/** Shows a part of the page on the full screen, or all of the page again. @returns whether it fills the screen now */
export async function toggleFullScreen(part: HTMLElement): Promise<boolean> {
  if (document.fullscreenElement) {
    await document.exitFullscreen()
    return false
  }
  await part.requestFullscreen({ navigationUI: 'hide' })
  // Keys that belong to the browser go to the guest meanwhile; Escape, held, leaves.
  await (navigator as { keyboard?: { lock?(): Promise<void> } }).keyboard?.lock?.()
  return true
}

/** Has Ctrl and Alt, pressed together and let go without another key, leave a part of the page in which every key goes to the guest. */
export function leaveByKeys(part: HTMLElement, leave: () => void): void {
  let isLeaving = false
  part.addEventListener(
    'keydown',
    ({ ctrlKey, altKey, code }) => {
      isLeaving = ctrlKey && altKey && /^(?:Alt|Control)/.test(code)
    },
    { capture: true },
  )
  part.addEventListener(
    'keyup',
    ({ ctrlKey, altKey }) => {
      if (!isLeaving || (ctrlKey && altKey)) return
      isLeaving = false
      // After the viewer has heard of it too, and has let go of the key.
      setTimeout(leave)
    },
    { capture: true },
  )
}

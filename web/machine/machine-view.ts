/** A machine that runs: its screen and serial console, and everything one can press on it. */
import { Machine, type MachineEnd } from '../../src/hosts/browser/index.ts'
import {
  askToTurnOff,
  endingText,
  leaveByKeys,
  STATES,
  savePicture,
  textToPaste,
  toggleFullScreen,
} from '../shared/console.ts'
import { ask, button, chooseFiles, complain, dropTarget, h, type MenuEntry, menuButton, note } from '../shared/dom.ts'
import { KEY_COMBINATIONS, KeysBar, pressAll } from '../shared/keys.ts'
import { SerialView } from '../shared/serial-view.ts'
import { TabList } from '../shared/tabs.ts'
import { themeButton } from '../shared/theme.ts'
import { askForRoom } from './disk-full.ts'
import type { Start } from './model.ts'
import { ScreenView } from './screen-view.ts'
import { SoundPlayer } from './sound-player.ts'
import { Statistics } from './statistics.ts'

type Tab = 'screen' | 'serial'

/** What the view needs. */
export interface MachineViewOptions {
  /** Goes back to where machines are put together. */
  back(): void
}

/** The view of one machine. */
export class MachineView {
  readonly element: HTMLElement
  readonly #start: Start
  readonly #options: MachineViewOptions
  readonly #state = h('span', { class: 'state', role: 'status' }, 'Starting')
  readonly #pause: HTMLButtonElement
  readonly #tabs = new TabList('Console', (name, goesIn) => {
    this.#show(name as Tab)
    if (goesIn) this.#shown?.focus()
  })
  readonly #stage = h('div', { class: 'stage' })
  readonly #over = h('div', { class: 'over' })
  readonly #status = h('footer', { class: 'status muted small' })
  readonly #lamp = h('span', { class: 'figures' })
  readonly #hint = h('span', { class: 'hint' })
  readonly #keys: KeysBar
  #machine: Machine | undefined
  #screen: ScreenView | undefined
  #serial: SerialView | undefined
  #statistics: Statistics | undefined
  #sound: SoundPlayer | undefined
  readonly #soundButton: HTMLButtonElement
  #tab: Tab = 'serial'
  /** The person is being asked for room. */
  #asking = false

  constructor(start: Start, options: MachineViewOptions) {
    this.#start = start
    this.#options = options
    this.#pause = this.#pauseButton(false)
    this.#keys = new KeysBar({
      press: code => this.#shown?.press(code),
      release: code => this.#shown?.release(code),
      typing: () => this.#shown?.openKeyboard(),
    })
    this.#soundButton = button('Sound', {
      icon: 'sound',
      kind: 'quiet wide-only',
      compact: true,
      onclick: () => this.#toggleSound(),
    })
    this.#soundButton.hidden = true
    const bar = h(
      'header',
      { class: 'bar' },
      button('Back', {
        icon: 'back',
        kind: 'quiet',
        compact: true,
        title: 'Turn off and go back',
        onclick: () => this.#leave(),
      }),
      h('h1', {}, start.title),
      this.#state,
      h('span', { class: 'gap' }),
      this.#tabs.element,
      h('span', { class: 'gap' }),
      this.#pause,
      menuButton('Power', { icon: 'power', kind: 'quiet', compact: true, entries: () => this.#powerEntries() }),
      menuButton('Keys', { icon: 'keyboard', kind: 'quiet', compact: true, entries: () => this.#keyEntries() }),
      menuButton('Drives', { icon: 'disc', kind: 'quiet', compact: true, entries: () => this.#driveEntries() }),
      h('span', { class: 'divider wide-only' }),
      this.#soundButton,
      button('Take a picture of the screen', {
        icon: 'camera',
        kind: 'quiet wide-only',
        compact: true,
        onclick: () => this.#screenshot(),
      }),
      button('Full screen', {
        icon: 'expand',
        kind: 'quiet wide-only',
        compact: true,
        onclick: () => this.#fullScreen(),
      }),
      h('span', { class: 'wide-only' }, themeButton()),
      menuButton('More', {
        icon: 'more',
        kind: 'quiet narrow-only',
        compact: true,
        entries: () => this.#moreEntries(),
      }),
    )
    this.#tabs.element.hidden = true
    this.#status.append(this.#lamp, this.#hint)
    leaveByKeys(this.#stage, () => this.#giveBack())
    this.#stage.append(this.#over)
    this.element = h(
      'div',
      { class: 'machine' },
      bar,
      h('main', { class: 'console' }, this.#stage),
      this.#keys.element,
      this.#status,
    )
    dropTarget(this.element, files => void this.#insertDropped(files))
  }

  /** Whether something would be lost if the tab were closed. */
  get isAlive(): boolean {
    return this.#machine !== undefined && this.#machine.state !== 'stopped'
  }

  /** Makes the machine and turns it on. What goes wrong is shown. */
  async start(): Promise<void> {
    const text = h('p', { role: 'status' }, 'Getting what it starts from…')
    const bar = h('progress', { max: 1, value: 0, 'aria-label': 'Loading' })
    this.#cover(h('div', { class: 'spinner' }), text, bar)
    this.#start.loading.onProgress = (what, fraction) => {
      text.textContent = fraction < 1 ? `Loading ${what}…` : 'Starting…'
      bar.value = fraction
    }
    try {
      const machine = await Machine.create(this.#start.options)
      this.#machine = machine
      // For whoever looks at it from the browser's console, and for tests.
      Object.assign(globalThis, { typetwo: { machine } })
      this.#connect(machine)
      await machine.start()
      this.#cover()
      this.#shown?.focus()
    } catch (error) {
      this.#ended({ reason: 'error', message: (error as Error).message })
    }
  }

  #connect(machine: Machine): void {
    this.#serial?.close()
    const { readable, writable } = machine.serial[0]
    const resize = (columns: number, rows: number) => void machine.resizeConsole(columns, rows)
    this.#serial = new SerialView({ readable, writable, resize, name: 'Serial console' })
    if (machine.screen) this.#screen = new ScreenView(machine, text => this.#hint.replaceChildren(text))
    this.#stage.append(...[this.#screen?.element, this.#serial.element].filter(element => element !== undefined))
    this.#sound?.close()
    if (machine.sound) this.#sound = new SoundPlayer(machine.sound)
    this.#soundButton.hidden = machine.sound === undefined
    this.#soundButton.setAttribute('aria-pressed', 'true')
    this.#tabs.element.hidden = this.#screen === undefined
    this.#show(this.#screen && !this.#start.serial ? 'screen' : 'serial')
    this.#statistics = new Statistics(machine, text => {
      this.#lamp.textContent = text
    })
    machine.addEventListener('statechange', () => this.#stateChanged(machine))
    machine.addEventListener('diskfull', event => void this.#diskFull(machine, (event as CustomEvent<string>).detail))
    machine.addEventListener('log', event => console.info(`typetwo: ${(event as CustomEvent<string>).detail}`))
    void machine.stopped.then(end => this.#ended(end))
  }

  /** What has the person's attention. */
  get #shown(): ScreenView | SerialView | undefined {
    return this.#tab === 'screen' ? this.#screen : this.#serial
  }

  #show(tab: Tab): void {
    this.#tab = tab
    const tabs = [
      { name: 'screen', label: 'Screen', icon: 'monitor', panel: this.#screen?.element },
      { name: 'serial', label: 'Serial', icon: 'terminal', panel: this.#serial?.element },
    ] as const
    this.#tabs.show(
      tabs.flatMap(({ panel, ...rest }) => (panel ? [{ ...rest, panel }] : [])),
      tab,
    )
    this.#hint.replaceChildren()
    this.#shown?.shown()
  }

  /** Keyboard and pointer are the page's again. */
  #giveBack(): void {
    this.#screen?.unlockPointer()
    if (this.#tabs.element.hidden) (document.activeElement as HTMLElement | null)?.blur()
    else this.#tabs.focus()
    this.#hint.replaceChildren('Click the console, or go to its tab and press Enter, to type to the machine')
  }

  #pauseButton(paused: boolean): HTMLButtonElement {
    return button(paused ? 'Go on' : 'Pause', {
      icon: paused ? 'play' : 'pause',
      kind: 'quiet',
      compact: true,
      onclick: () => void (this.#machine?.state === 'paused' ? this.#machine.resume() : this.#machine?.pause()),
    })
  }

  #stateChanged(machine: Machine): void {
    const { state } = machine
    this.#state.textContent = STATES[state]
    this.#state.className = `state ${state}`
    const pause = this.#pauseButton(state === 'paused')
    pause.disabled = state === 'stopped'
    this.#pause.replaceChildren(...pause.childNodes)
    for (const name of ['aria-label', 'title']) this.#pause.setAttribute(name, pause.getAttribute(name)!)
    this.#pause.disabled = pause.disabled
    this.element.classList.toggle('is-paused', state === 'paused')
  }

  #toggleSound(): void {
    if (!this.#sound) return
    this.#sound.muted = !this.#sound.muted
    this.#soundButton.setAttribute('aria-pressed', String(!this.#sound.muted))
  }

  #powerEntries(): MenuEntry[] {
    const machine = this.#machine
    const off = !this.isAlive
    return [
      {
        label: 'Press the power button',
        icon: 'power',
        end: 'shuts down',
        disabled: off,
        action: () => void machine?.pressPowerButton(),
      },
      { label: 'Reset', icon: 'reset', disabled: off, action: () => void machine?.reset() },
      '-',
      { label: 'Turn off at once', icon: 'off', danger: true, disabled: off, action: () => void this.#turnOff() },
    ]
  }

  async #turnOff(): Promise<void> {
    if (await askToTurnOff()) await this.#machine?.destroy()
  }

  #keyEntries(): MenuEntry[] {
    const onScreen = this.#tab === 'screen' && this.isAlive
    return [
      { label: 'Paste text', icon: 'paste', disabled: !this.isAlive, action: () => void this.#paste() },
      {
        label: this.#keys.isShown ? 'Hide the row of keys' : 'Show a row of keys',
        icon: 'keyboard',
        action: () => this.#keys.toggle(),
      },
      ...(this.#screen
        ? [
            {
              label: 'Lock the pointer to the screen',
              icon: 'mouse' as const,
              disabled: !onScreen,
              action: () => this.#screen?.lockPointer(),
            },
            '-',
            ...KEY_COMBINATIONS.map(({ label, codes }) => ({
              label,
              disabled: !onScreen,
              action: () => {
                void pressAll(this.#machine!.keyboard, codes)
                this.#screen?.focus()
              },
            })),
          ]
        : []),
    ]
  }

  async #paste(): Promise<void> {
    const text = await textToPaste()
    if (text === '') return
    try {
      await this.#shown?.type(text)
    } catch (error) {
      complain(error)
    }
    this.#shown?.focus()
  }

  #driveEntries(): MenuEntry[] {
    const drives = (this.#machine?.drives ?? []).filter(({ kind }) => kind !== 'disk')
    if (drives.length === 0) return ['This machine has no drive whose medium can be changed.']
    return drives.flatMap(drive => {
      const what = drive.kind === 'cdrom' ? 'CD' : 'floppy'
      const run = (action: Promise<void>, done: string) => void action.then(() => note(done), complain)
      return [
        `${what === 'CD' ? 'CD drive' : 'Floppy drive'} ${drive.name.replace(/\D/g, '')}`,
        {
          label: `Put a ${what} in`,
          icon: what === 'CD' ? ('disc' as const) : ('floppy' as const),
          disabled: !this.isAlive,
          action: async () => {
            const [file] = await chooseFiles()
            if (file) run(drive.insert(file), `“${file.name}” is in the drive.`)
          },
        },
        {
          label: 'Take it out',
          icon: 'eject' as const,
          disabled: !this.isAlive,
          action: () => run(drive.eject(), 'The drive is empty.'),
        },
      ]
    })
  }

  async #insertDropped(files: File[]): Promise<void> {
    const drive = this.#machine?.drives.find(({ kind }) => kind === 'cdrom')
    if (!drive || !this.isAlive) return complain(new Error('this machine has no CD drive to put a file into'))
    try {
      await drive.insert(files[0])
      note(`“${files[0].name}” is in the CD drive.`)
    } catch (error) {
      complain(error)
    }
  }

  #moreEntries(): MenuEntry[] {
    return [
      {
        label: 'Take a picture of the screen',
        icon: 'camera',
        disabled: !this.#screen,
        action: () => void this.#screenshot(),
      },
      { label: 'Full screen', icon: 'expand', action: () => void this.#fullScreen() },
      ...(this.#sound
        ? [
            {
              label: this.#sound.muted ? 'Sound on' : 'Sound off',
              icon: 'sound' as const,
              action: () => this.#toggleSound(),
            },
          ]
        : []),
    ]
  }

  async #screenshot(): Promise<void> {
    try {
      if (!this.#screen) throw new Error('this machine has no screen, only its serial console')
      savePicture(await this.#screen.picture(), this.#start.title)
    } catch (error) {
      complain(error)
    }
  }

  async #fullScreen(): Promise<void> {
    try {
      if (await toggleFullScreen(this.#stage)) this.#shown?.focus()
    } catch (error) {
      complain(error)
    }
  }

  /** A disk found no room, and the machine waits. */
  async #diskFull(machine: Machine, sentence: string): Promise<void> {
    if (this.#asking) return
    this.#asking = true
    const again = await askForRoom(sentence, this.#start.disks)
    this.#asking = false
    if (again) await machine.resume()
  }

  #ended(end: MachineEnd): void {
    this.#statistics?.stop()
    this.#state.textContent = 'Off'
    this.#state.className = `state ${end.reason === 'error' ? 'error' : 'stopped'}`
    this.#pause.disabled = true
    this.#screen?.close()
    this.#sound?.close()
    this.#sound = undefined
    this.#soundButton.hidden = true
    this.#hint.replaceChildren()
    this.#cover(
      ...endingText(end),
      h(
        'div',
        { class: 'actions' },
        button('Start again', { icon: 'play', kind: 'primary', onclick: () => this.#again() }),
        button('Back', { icon: 'back', onclick: () => this.#options.back() }),
      ),
    )
  }

  #again(): void {
    this.#screen?.element.remove()
    this.#serial?.close()
    this.#serial?.element.remove()
    this.#screen = undefined
    this.#machine = undefined
    void this.start()
  }

  async #leave(): Promise<void> {
    if (this.isAlive) {
      const sure = await ask({
        title: 'Turn the machine off and go back?',
        content: [
          'The guest is not asked first: shut it down by the power menu to lose nothing that it has not written.',
        ],
        action: 'Turn it off',
        danger: true,
      })
      if (!sure) return
      await this.#machine?.destroy()
    }
    this.#screen?.close()
    this.#serial?.close()
    this.#options.back()
  }

  /** Shows something over the console; without arguments nothing. */
  #cover(...content: (Node | false | undefined)[]): void {
    const shown = content.filter(part => part !== false && part !== undefined)
    this.#over.hidden = shown.length === 0
    this.#over.replaceChildren(h('div', { class: 'box' }, ...shown))
  }
}

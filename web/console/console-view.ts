/** A machine's console: its screen and serial ports, and everything one can press on it. */
import {
  askToTurnOff,
  endingText,
  leaveByKeys,
  STATES,
  savePicture,
  textToPaste,
  toggleFullScreen,
} from '../shared/console.ts'
import { button, complain, h, type MenuEntry, menuButton, note } from '../shared/dom.ts'
import { icon } from '../shared/icons.ts'
import { KEY_COMBINATIONS, KeysBar, pressAll } from '../shared/keys.ts'
import { SerialView } from '../shared/serial-view.ts'
import { TabList } from '../shared/tabs.ts'
import { themeButton } from '../shared/theme.ts'
import { chooseMedium, driveTitle } from './media-dialog.ts'
import { type Description, openSerial, type Remote } from './remote.ts'
import { ScreenView } from './screen-view.ts'

/** A thing to look at: the screen, or a port. */
interface Tab {
  readonly name: string
  readonly label: string
  readonly view: ScreenView | SerialView
  close(): void
}

/** The view. */
export class ConsoleView {
  readonly element: HTMLElement
  readonly #remote: Remote
  readonly #title = h('h1', {}, 'typetwo')
  readonly #state = h('span', { class: 'state', role: 'status' }, 'Connecting')
  readonly #pause: HTMLButtonElement
  readonly #tabList: TabList
  readonly #stage = h('div', { class: 'stage' })
  readonly #hint = h('span', { class: 'hint' })
  readonly #over = h('div', { class: 'over', hidden: true })
  readonly #keys: KeysBar
  readonly #controls: HTMLButtonElement[]
  #tabs: Tab[] = []
  #shown: Tab | undefined

  /** Shows what the machine says from now on. */
  constructor(remote: Remote) {
    this.#remote = remote
    this.#tabList = new TabList('Console', (name, goesIn) => {
      const tab = this.#tabs.find(other => other.name === name)!
      this.#show(tab)
      if (goesIn) tab.view.focus()
    })
    this.#keys = new KeysBar({
      press: code => this.#shown?.view.press(code),
      release: code => this.#shown?.view.release(code),
      typing: () => this.#shown?.view.openKeyboard(),
    })
    const menu = (label: string, icon: 'power' | 'keyboard' | 'disc', entries: () => MenuEntry[]) =>
      menuButton(label, { icon, kind: 'quiet', compact: true, entries })
    this.#pause = button('Pause', { icon: 'pause', kind: 'quiet', compact: true, onclick: () => this.#pauseOrGoOn() })
    this.#controls = [
      this.#pause,
      menu('Power', 'power', () => this.#powerEntries()),
      menu('Keys', 'keyboard', () => this.#keyEntries()),
      menu('Drives', 'disc', () => this.#driveEntries()),
    ]
    const wide = { kind: 'quiet wide-only', compact: true } as const
    const bar = h(
      'header',
      { class: 'bar' },
      this.#title,
      this.#state,
      h('span', { class: 'gap' }),
      this.#tabList.element,
      h('span', { class: 'gap' }),
      ...this.#controls,
      h('span', { class: 'divider wide-only' }),
      button('Take a picture of the screen', { ...wide, icon: 'camera', onclick: () => void this.#screenshot() }),
      button('Full screen', { ...wide, icon: 'expand', onclick: () => void this.#fullScreen() }),
      h('span', { class: 'wide-only' }, themeButton()),
      menuButton('More', {
        icon: 'more',
        kind: 'quiet narrow-only',
        compact: true,
        entries: () => [
          { label: 'Take a picture of the screen', icon: 'camera', action: () => void this.#screenshot() },
          { label: 'Full screen', icon: 'expand', action: () => void this.#fullScreen() },
        ],
      }),
    )
    this.#stage.append(this.#over)
    this.element = h(
      'div',
      { class: 'machine' },
      bar,
      h('main', { class: 'console' }, this.#stage),
      this.#keys.element,
      h('footer', { class: 'status muted small' }, this.#hint),
    )
    leaveByKeys(this.#stage, () => this.#tabList.focus())
    this.#stage.addEventListener('focusin', () => this.#hint.replaceChildren('Ctrl + Alt gives the keyboard back'))
    this.#stage.addEventListener('focusout', () => this.#hint.replaceChildren('Click here to type to the machine'))
    remote.addEventListener('described', event => this.#described((event as CustomEvent<Description>).detail))
    remote.addEventListener('port', event => this.#addPort((event as CustomEvent<string>).detail))
    remote.addEventListener('state', () => this.#stateChanged())
    remote.addEventListener('ended', () => this.#ended())
    remote.addEventListener('restarted', () => note('The machine was reset and starts again.'))
    remote.addEventListener('lost', () => this.#lost())
    this.#stateChanged()
  }

  #described(description: Description): void {
    const wanted = this.#shown?.name
    for (const tab of this.#tabs) {
      tab.close()
      tab.view.element.remove()
    }
    this.#title.textContent = description.name
    document.title = description.name
    this.#tabs = description.ports.map(name => this.#port(name))
    if (description.hasScreen) {
      const view = new ScreenView(this.#remote)
      this.#tabs.unshift({ name: 'screen', label: 'Screen', view, close: () => view.close() })
    }
    this.#stage.append(...this.#tabs.map(({ view }) => view.element))
    this.#cover()
    this.#stateChanged()
    const first = this.#tabs.find(({ name }) => name === wanted) ?? this.#tabs[0]
    if (first) this.#show(first)
    first?.view.focus()
  }

  /** One more port, which nobody looks at yet. */
  #addPort(name: string): void {
    if (this.#tabs.some(tab => tab.name === name)) return
    const tab = this.#port(name)
    this.#tabs.push(tab)
    this.#tabs.sort((a, b) => Number(a.name !== 'screen') - Number(b.name !== 'screen') || (a.name < b.name ? -1 : 1))
    this.#stage.append(tab.view.element)
    if (this.#shown) this.#show(this.#shown)
  }

  #port(name: string): Tab {
    const { readable, writable, close } = openSerial(name)
    const view = new SerialView({ readable, writable, name: `Serial port ${name}` })
    return {
      name,
      label: name,
      view,
      close: () => {
        view.close()
        close()
      },
    }
  }

  #show(tab: Tab): void {
    this.#shown = tab
    const tabs = this.#tabs.map(({ name, label, view }) => ({
      name,
      label,
      icon: name === 'screen' ? ('monitor' as const) : ('terminal' as const),
      panel: view.element,
    }))
    this.#tabList.show(tabs, tab.name)
    tab.view.shown()
  }

  get #isAlive(): boolean {
    return this.#remote.description !== undefined && this.#remote.state !== 'stopped' && this.#over.hidden === true
  }

  #stateChanged(): void {
    const { state, description } = this.#remote
    this.#state.textContent = description ? (STATES[state] ?? state) : 'Connecting'
    this.#state.className = `state ${description ? state : ''}`
    const paused = state === 'paused'
    const label = paused ? 'Go on' : 'Pause'
    this.#pause.replaceChildren(icon(paused ? 'play' : 'pause'))
    for (const name of ['aria-label', 'title']) this.#pause.setAttribute(name, label)
    for (const control of this.#controls) control.disabled = !this.#isAlive
    this.element.classList.toggle('is-paused', paused)
  }

  #pauseOrGoOn(): void {
    this.#do(this.#remote.ask({ type: this.#remote.state === 'paused' ? 'resume' : 'pause' }))
  }

  /** Shows what goes wrong with something that was asked. */
  #do(asked: Promise<unknown>): void {
    asked.catch(complain)
  }

  #powerEntries(): MenuEntry[] {
    const ask = (type: 'power' | 'reset') => () => this.#do(this.#remote.ask({ type }))
    return [
      { label: 'Press the power button', icon: 'power', end: 'shuts down', action: ask('power') },
      { label: 'Reset', icon: 'reset', action: ask('reset') },
      '-',
      { label: 'Turn off at once', icon: 'off', danger: true, action: () => void this.#turnOff() },
    ]
  }

  async #turnOff(): Promise<void> {
    if (await askToTurnOff()) this.#do(this.#remote.ask({ type: 'off' }))
  }

  #keyEntries(): MenuEntry[] {
    const keyboard = {
      press: (code: string) => this.#remote.key(code, true),
      release: (code: string) => this.#remote.key(code, false),
    }
    const combinations = KEY_COMBINATIONS.map(({ label, codes }) => ({
      label,
      action: () => {
        void pressAll(keyboard, codes)
        this.#shown?.view.focus()
      },
    }))
    return [
      { label: 'Paste text', icon: 'paste', action: () => void this.#paste() },
      {
        label: this.#keys.isShown ? 'Hide the row of keys' : 'Show a row of keys',
        icon: 'keyboard',
        action: () => this.#keys.toggle(),
      },
      ...(this.#shown?.name === 'screen' ? (['-', ...combinations] as MenuEntry[]) : []),
    ]
  }

  async #paste(): Promise<void> {
    const text = await textToPaste()
    this.#shown?.view.focus()
    if (text !== '') await this.#shown?.view.type(text).catch(complain)
  }

  #driveEntries(): MenuEntry[] {
    const drives = this.#remote.description?.drives ?? []
    if (drives.length === 0) return ['This machine has no drive whose medium can be changed.']
    return drives.map(drive => ({
      label: `${driveTitle(drive)}…`,
      icon: drive.kind === 'cdrom' ? ('disc' as const) : ('floppy' as const),
      action: () => chooseMedium(this.#remote, drive),
    }))
  }

  async #screenshot(): Promise<void> {
    try {
      const screen = this.#tabs.find(({ name }) => name === 'screen')?.view
      if (!(screen instanceof ScreenView)) throw new Error('this machine has no screen, only its serial ports')
      savePicture(await screen.picture(), this.#title.textContent)
    } catch (error) {
      complain(error)
    }
  }

  async #fullScreen(): Promise<void> {
    try {
      if (await toggleFullScreen(this.#stage)) this.#shown?.view.focus()
    } catch (error) {
      complain(error)
    }
  }

  #lost(): void {
    if (this.#remote.end) return
    const isFirst = this.#remote.description === undefined
    this.#cover(
      h('div', { class: 'spinner' }),
      h('h2', {}, isFirst ? 'Looking for the machine' : 'The machine cannot be reached'),
      h('p', { class: 'muted', role: 'status' }, 'The page connects by itself as soon as it is there.'),
    )
  }

  #ended(): void {
    this.#cover(
      ...endingText(this.#remote.end!),
      h('p', { class: 'muted' }, 'When it is started again at this address, the page connects by itself.'),
    )
  }

  /** Covers the console with a box, or uncovers it. */
  #cover(...content: (Node | string | false)[]): void {
    this.#over.hidden = content.length === 0
    this.#over.replaceChildren(h('div', { class: 'box' }, ...content))
    this.#stateChanged()
  }
}

/** Tabs as the ARIA practices have them: one of them is in the order of the Tab key, arrows, Home and End go to the others. */
import { h } from './dom.ts'
import { type IconName, icon } from './icons.ts'

/** One tab, and what is shown while it is the chosen one. */
export interface Tab {
  /** Among the tabs of the page. */
  readonly name: string
  readonly label: string
  readonly icon: IconName
  readonly panel: HTMLElement
}

/** A list of tabs. */
export class TabList {
  readonly element: HTMLElement
  readonly #choose: (name: string, goesIn: boolean) => void
  #names: readonly string[] = []
  #chosen = ''

  /**
   * @param label what the tabs are of
   * @param choose has a tab shown that was chosen; `goesIn` says that it was pressed, and its panel is to have the focus
   */
  constructor(label: string, choose: (name: string, goesIn: boolean) => void) {
    this.#choose = choose
    this.element = h('div', { class: 'tabs', role: 'tablist', 'aria-label': label })
    this.element.addEventListener('keydown', event => this.#key(event))
  }

  /** Shows these tabs, of which one is chosen, and its panel alone. Where a tab has the focus, the chosen one has it then. */
  show(tabs: readonly Tab[], chosen: string): void {
    const hasFocus = this.element.contains(document.activeElement)
    this.#names = tabs.map(({ name }) => name)
    this.#chosen = chosen
    this.element.replaceChildren(...tabs.map(tab => this.#tab(tab)))
    for (const { name, panel } of tabs) {
      panel.id = `panel-${name}`
      panel.setAttribute('role', 'tabpanel')
      panel.setAttribute('aria-labelledby', `tab-${name}`)
      panel.hidden = name !== chosen
    }
    if (hasFocus) this.focus()
  }

  /** Gives the chosen tab the focus. */
  focus(): void {
    this.element.querySelector<HTMLElement>('[aria-selected=true]')?.focus()
  }

  #tab({ name, label, icon: sign }: Tab): HTMLElement {
    const isChosen = name === this.#chosen
    return h(
      'button',
      {
        type: 'button',
        role: 'tab',
        id: `tab-${name}`,
        'aria-controls': `panel-${name}`,
        'aria-selected': String(isChosen),
        // On a narrow window only the sign is to be seen.
        'aria-label': label,
        tabindex: isChosen ? 0 : -1,
        onclick: () => this.#choose(name, true),
      },
      icon(sign),
      h('span', { class: 'label' }, label),
    )
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return
    const count = this.#names.length
    const at = this.#names.indexOf(this.#chosen)
    const to = { ArrowLeft: at + count - 1, ArrowRight: at + 1, Home: 0, End: count - 1 }[event.key]
    if (to === undefined || count === 0) return
    event.preventDefault()
    this.#choose(this.#names[to % count], false)
  }
}

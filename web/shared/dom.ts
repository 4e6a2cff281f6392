/** Elements by the call, and what pages have of dialogs, menus and short messages. */
import { type IconName, icon } from './icons.ts'

type Child = Node | string | undefined | false
type Attributes = Record<string, string | number | boolean | undefined | ((event: never) => void)>

/** An element: attributes by their names, listeners as `onclick`, booleans as attributes that are there or not. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener)
    else if (value === true) element.setAttribute(name, '')
    else if (value !== undefined && value !== false) element.setAttribute(name, String(value))
  }
  for (const child of children) if (child) element.append(child)
  return element
}

/** What {@link button} is made of. */
export interface ButtonOptions {
  icon?: IconName
  /** Classes besides `button`. */
  kind?: string
  /** Whether the label is only spoken and shown as a hint. */
  compact?: boolean
  title?: string
  onclick(event: MouseEvent): void
}

/** A button with a label. */
export function button(
  label: string,
  { icon: name, kind = '', compact, title, onclick }: ButtonOptions,
): HTMLButtonElement {
  const attributes = compact ? { 'aria-label': label, title: title ?? label } : { title }
  const classes = `button ${kind} ${compact ? 'icon' : ''}`
  return h('button', { type: 'button', class: classes, onclick, ...attributes }, name && icon(name), !compact && label)
}

/**
 * Puts other rows into a list, which is hidden without any. Where one of its controls has the focus, the control in its place has it then, of
 * the last row where there are fewer, or `otherwise` where there is none.
 */
export function replaceRows(list: HTMLElement, rows: readonly HTMLElement[], otherwise: HTMLElement): void {
  const controls = (row: Element) => [...row.querySelectorAll<HTMLElement>('button, select, input')]
  const at = [...list.children].findIndex(row => row.contains(document.activeElement))
  const which = at < 0 ? 0 : controls(list.children[at]).indexOf(document.activeElement as HTMLElement)
  list.replaceChildren(...rows)
  list.hidden = rows.length === 0
  if (at < 0) return
  const others = rows.length > 0 ? controls(rows[Math.min(at, rows.length - 1)]) : []
  ;(others[Math.min(which, others.length - 1)] ?? otherwise).focus()
}

/** Shows a short message at the bottom. Errors stay until they are closed. */
export function note(text: string, { error = false } = {}): void {
  let notes = document.querySelector('.notes')
  if (!notes) document.body.append((notes = h('div', { class: 'notes', role: 'status' })))
  const close = button('Close', { icon: 'close', kind: 'quiet', compact: true, onclick: () => shown.remove() })
  const shown = h('div', { class: error ? 'note error' : 'note', role: error ? 'alert' : undefined }, text, close)
  notes.append(shown)
  while (notes.children.length > 3) notes.firstElementChild!.remove()
  if (!error) setTimeout(() => shown.remove(), 6000)
}

/** Shows an error's sentence. */
export function complain(error: unknown): void {
  const text = error instanceof Error ? error.message : String(error)
  note(text.charAt(0).toUpperCase() + text.slice(1), { error: true })
}

/** What {@link ask} shows. */
export interface Question {
  title: string
  content?: (Node | string)[]
  /** The label of what is done. */
  action: string
  danger?: boolean
  /** Default `Cancel`; empty for none. */
  cancel?: string
  /** Whether the dialog may close with what is filled in; throws an Error with a sentence where not. */
  check?(): void | Promise<void>
}

/** Asks in a dialog. @returns whether the action was chosen */
export function ask({ title, content = [], action, danger, cancel = 'Cancel', check }: Question): Promise<boolean> {
  const wrong = h('p', { class: 'wrong', role: 'alert', hidden: true })
  const act = h('button', { type: 'submit', class: `button ${danger ? 'danger' : 'primary'}` }, action)
  const form = h(
    'form',
    { method: 'dialog' },
    h('h2', {}, title),
    ...content.map(part => (typeof part === 'string' ? h('p', { class: 'muted' }, part) : part)),
    wrong,
    h(
      'footer',
      {},
      cancel !== '' && h('button', { type: 'button', class: 'button', onclick: () => dialog.close() }, cancel),
      act,
    ),
  )
  const dialog = h('dialog', { class: 'dialog', 'aria-label': title }, form)
  // Who is typing when it appears shall not press what destroys something.
  if (!form.querySelector('[autofocus]')) {
    const harmless = danger ? form.querySelector('footer button') : act
    harmless?.setAttribute('autofocus', '')
  }
  document.body.append(dialog)
  let chosen = false
  form.addEventListener('submit', async event => {
    event.preventDefault()
    act.disabled = true
    try {
      await check?.()
      chosen = true
      dialog.close()
    } catch (error) {
      const { message } = error as Error
      wrong.textContent = `${message.charAt(0).toUpperCase()}${message.slice(1)}.`
      wrong.hidden = false
    } finally {
      act.disabled = false
    }
  })
  return new Promise(resolve => {
    dialog.addEventListener('close', () => {
      dialog.remove()
      resolve(chosen)
    })
    dialog.showModal()
  })
}

/** An entry of a menu; a string is a title, `'-'` a line. */
export type MenuEntry =
  | string
  | { label: string; icon?: IconName; end?: string; danger?: boolean; disabled?: boolean; action(): void }

/** A button that opens a menu, whose entries are asked for each time. */
export function menuButton(
  label: string,
  options: { icon: IconName; kind?: string; compact?: boolean; entries(): MenuEntry[] },
): HTMLButtonElement {
  let menu: HTMLElement | undefined
  /** Whether the menu was open when the opener was pressed: that closes it before the click is heard of. */
  let wasOpen = false
  const opener = button(label, {
    ...options,
    onclick() {
      const closes = menu !== undefined || wasOpen
      wasOpen = false
      if (closes) {
        if (menu?.matches(':popover-open')) menu.hidePopover()
        return
      }
      menu = makeMenu(label, options.entries(), () => menu!.hidePopover())
      const shown = menu
      document.body.append(shown)
      shown.addEventListener('toggle', event => {
        if ((event as ToggleEvent).newState !== 'closed') return
        opener.setAttribute('aria-expanded', 'false')
        if (shown.contains(document.activeElement)) opener.focus()
        shown.remove()
        menu = undefined
      })
      shown.showPopover()
      opener.setAttribute('aria-expanded', 'true')
      const at = opener.getBoundingClientRect()
      const own = shown.getBoundingClientRect()
      shown.style.left = `${Math.max(8, Math.min(at.left, innerWidth - own.width - 8))}px`
      const above = at.bottom + own.height + 8 > innerHeight
      shown.style.top = `${above ? Math.max(8, at.top - own.height - 4) : at.bottom + 4}px`
      shown.querySelector<HTMLElement>('[role=menuitem]:not(:disabled)')?.focus()
    },
  })
  opener.addEventListener('pointerdown', () => {
    wasOpen = menu !== undefined
  })
  opener.addEventListener('keydown', () => {
    wasOpen = false
  })
  opener.setAttribute('aria-haspopup', 'menu')
  opener.setAttribute('aria-expanded', 'false')
  return opener
}

function makeMenu(label: string, entries: MenuEntry[], close: () => void): HTMLElement {
  const menu = h('div', { class: 'menu', role: 'menu', popover: 'auto', 'aria-label': label })
  for (const entry of entries) {
    if (entry === '-') menu.append(h('hr'))
    else if (typeof entry === 'string') menu.append(h('div', { class: 'title' }, entry))
    else
      menu.append(
        h(
          'button',
          {
            type: 'button',
            role: 'menuitem',
            class: entry.danger ? 'danger' : undefined,
            disabled: entry.disabled,
            onclick() {
              close()
              entry.action()
            },
          },
          entry.icon && icon(entry.icon),
          entry.label,
          entry.end && h('span', { class: 'end' }, entry.end),
        ),
      )
  }
  menu.addEventListener('keydown', event => {
    const items = [...menu.querySelectorAll<HTMLElement>('[role=menuitem]:not(:disabled)')]
    const at = items.indexOf(document.activeElement as HTMLElement)
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key]
    if (to === undefined) return
    event.preventDefault()
    items[(to + items.length) % items.length]?.focus()
  })
  return menu
}

/** Has the browser save a file; it reads the blob as it writes. */
export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob)
  h('a', { href: url, download: name }).click()
  // A download of gigabytes reads from it for a long time.
  setTimeout(() => URL.revokeObjectURL(url), 3_600_000)
}

/** Lets the person choose files. @returns none where they change their mind */
export function chooseFiles({
  multiple = false,
  accept,
}: {
  multiple?: boolean
  accept?: string
} = {}): Promise<File[]> {
  const input = h('input', { type: 'file', multiple, accept, hidden: true })
  document.body.append(input)
  return new Promise(resolve => {
    const end = () => {
      resolve([...(input.files ?? [])])
      input.remove()
    }
    input.addEventListener('change', end)
    input.addEventListener('cancel', end)
    input.click()
  })
}

const UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB']

/** A number of bytes for people, in powers of 1024 as memory and disks are made: `1.44 MB`, `8 GB`. */
export function sizeText(bytes: number): string {
  let unit = 0
  while (bytes >= 1024 && unit < UNITS.length - 1) {
    bytes /= 1024
    unit++
  }
  const digits = unit === 0 || bytes >= 100 ? 0 : bytes >= 10 ? 1 : 2
  return `${Number(bytes.toFixed(digits))} ${UNITS[unit]}`
}

/** Files that are being dragged over the page go to `take` when they are dropped. @returns ends it */
export function dropTarget(area: HTMLElement, take: (files: File[]) => void): void {
  let depth = 0
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files')
  area.addEventListener('dragenter', event => {
    if (!hasFiles(event)) return
    depth++
    area.classList.add('dropping')
  })
  area.addEventListener('dragleave', () => {
    if (--depth <= 0) area.classList.remove('dropping')
  })
  area.addEventListener('dragover', event => {
    if (hasFiles(event)) event.preventDefault()
  })
  area.addEventListener('drop', event => {
    if (!hasFiles(event)) return
    event.preventDefault()
    depth = 0
    area.classList.remove('dropping')
    take([...event.dataTransfer!.files])
  })
}

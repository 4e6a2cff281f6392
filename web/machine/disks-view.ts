/** The disks that are kept in this browser: new ones, copies of images, downloads. */
import { createDisk, exportDisk, importDisk, type KeptDisk, listDisks } from '../../src/hosts/browser/index.ts'
import { ask, button, chooseFiles, complain, h, menuButton, note, replaceRows, save, sizeText } from '../shared/dom.ts'
import { icon } from '../shared/icons.ts'
import { askToDelete } from './disk-full.ts'

/** What the machine has to do with the disks. */
export interface DisksOptions {
  attached(name: string): boolean
  /** Puts a disk into the machine, or takes it out. */
  attach(name: string): void
  /** Hears which disks there are. */
  existing(names: string[]): void
}

/** Sizes that are offered, in GB. */
const SIZES = [1, 2, 4, 8, 16, 32, 64, 128]

const ago = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })

function agoText(time: number): string {
  const minutes = Math.round((time - Date.now()) / 60000)
  if (minutes > -60) return ago.format(minutes, 'minute')
  if (minutes > -60 * 24) return ago.format(Math.round(minutes / 60), 'hour')
  return ago.format(Math.round(minutes / 1440), 'day')
}

/** The panel. */
export class DisksView {
  readonly element: HTMLElement
  readonly #options: DisksOptions
  readonly #noDisks: string | undefined
  readonly #list = h('ul', { class: 'media', 'aria-label': 'Disks in this browser' })
  readonly #room = h('p', { class: 'muted small room' })
  readonly #progress = h('div', { class: 'progress', hidden: true })
  readonly #create = button('New disk', { icon: 'plus', onclick: () => this.#make() })
  #disks: KeptDisk[] = []

  constructor(noDisks: string | undefined, options: DisksOptions) {
    this.#options = options
    this.#noDisks = noDisks
    const actions = h(
      'div',
      { class: 'actions' },
      this.#create,
      button('Import', { icon: 'upload', title: 'Copy a disk image into this browser', onclick: () => this.#import() }),
    )
    this.element = h(
      'section',
      { class: 'card', 'aria-labelledby': 'disks' },
      h('h2', { id: 'disks' }, 'Disks in this browser'),
      noDisks === undefined
        ? h('p', { class: 'muted' }, 'They stay when the tab is closed, and are read and written here only.')
        : h('p', { class: 'wrong' }, noDisks),
      this.#list,
      this.#progress,
      noDisks === undefined && actions,
      this.#room,
    )
  }

  /** Looks which disks there are. */
  async update(): Promise<void> {
    if (this.#noDisks !== undefined) {
      this.#options.existing([])
      return
    }
    try {
      this.#disks = await listDisks()
    } catch (error) {
      complain(error)
      return
    }
    this.#options.existing(this.#disks.map(({ name }) => name))
    this.mark()
    const { usage = 0, quota = 0 } = (await navigator.storage.estimate?.()) ?? {}
    if (quota > 0)
      this.#room.textContent =
        this.#disks.length === 0
          ? `The browser has room for ${sizeText(quota)}.`
          : `${sizeText(usage)} of the ${sizeText(quota)} that the browser allows are used.`
  }

  /** Shows which of them are in the machine. */
  mark(): void {
    const rows = this.#disks.map(disk => this.#row(disk))
    replaceRows(this.#list, rows, this.#create)
  }

  #row({ name, size, stored, modified }: KeptDisk): HTMLElement {
    const inside = this.#options.attached(name)
    const use = button(inside ? 'In the machine' : 'Use', {
      icon: inside ? 'check' : undefined,
      onclick: () => this.#options.attach(name),
    })
    use.setAttribute('aria-pressed', String(inside))
    use.setAttribute('aria-label', inside ? `Take ${name} out of the machine` : `Put ${name} into the machine`)
    const more = menuButton(`More about ${name}`, {
      icon: 'more',
      kind: 'quiet',
      compact: true,
      entries: () => [
        { label: 'Download as qcow2', icon: 'download', end: sizeText(stored), action: () => this.#download(name) },
        '-',
        { label: 'Delete', icon: 'trash', danger: true, action: () => this.#delete(name, stored) },
      ],
    })
    const about = `${sizeText(size)} · takes ${sizeText(stored)} · written ${agoText(modified)}`
    return h(
      'li',
      {},
      icon('disk'),
      h('span', { class: 'name' }, h('strong', {}, name), h('span', { class: 'muted small' }, about)),
      use,
      more,
    )
  }

  async #make(): Promise<void> {
    const name = h('input', {
      type: 'text',
      value: this.#freeName('disk'),
      required: true,
      maxlength: 60,
      autofocus: true,
    })
    const size = h('select', {}, ...SIZES.map(gb => h('option', { value: gb, selected: gb === 8 }, `${gb} GB`)))
    const made = await ask({
      title: 'New disk',
      content: [
        h('label', { class: 'field' }, 'Name', name),
        h(
          'label',
          { class: 'field' },
          'Size',
          size,
          h('span', { class: 'help' }, 'It takes room here as the machine fills it.'),
        ),
      ],
      action: 'Make it',
      check: () => createDisk(name.value.trim(), Number(size.value) * 2 ** 30),
    })
    if (!made) return
    void navigator.storage.persist?.()
    await this.update()
    if (!this.#options.attached(name.value.trim())) this.#options.attach(name.value.trim())
  }

  #freeName(base: string): string {
    const taken = new Set(this.#disks.map(disk => disk.name))
    for (let i = 1; ; i++) {
      const name = i === 1 ? base : `${base} ${i}`
      if (!taken.has(name)) return name
    }
  }

  async #import(): Promise<void> {
    const [file] = await chooseFiles()
    if (file) await this.importFile(file)
  }

  /** Copies an image in, and shows how far that is. */
  async importFile(file: File): Promise<void> {
    const name = this.#freeName(
      file.name
        .replace(/\.[^.]*$/, '')
        .replaceAll(/[/\\]/g, ' ')
        .slice(0, 50)
        .trim() || 'disk',
    )
    const abort = new AbortController()
    const bar = h('progress', { max: 1, value: 0, 'aria-label': `Copying ${file.name}` })
    const text = h('span', { class: 'muted small' }, `Copying ${file.name}`)
    this.#progress.replaceChildren(
      h(
        'div',
        { class: 'line' },
        text,
        button('Cancel', { kind: 'quiet', onclick: () => abort.abort(new Error('copying was cancelled')) }),
      ),
      bar,
    )
    this.#progress.hidden = false
    try {
      await importDisk(name, file, {
        signal: abort.signal,
        onProgress(done, total) {
          bar.value = total > 0 ? done / total : 1
          text.textContent = `Copying ${file.name}: ${sizeText(done)} of ${sizeText(total)}`
        },
      })
      note(`${file.name} is here as “${name}”.`)
      void navigator.storage.persist?.()
    } catch (error) {
      complain(error)
    } finally {
      this.#progress.hidden = true
      await this.update()
    }
  }

  async #download(name: string): Promise<void> {
    try {
      const file = await exportDisk(name)
      save(file, file.name)
    } catch (error) {
      complain(error)
    }
  }

  async #delete(name: string, stored: number): Promise<void> {
    const sure = await askToDelete(name, stored)
    if (sure) await this.update()
  }
}

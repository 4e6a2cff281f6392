/** Where a machine is put together: one click for Linux, or files and disks of one's own. */
import type { MachineName } from '../../src/hosts/browser/index.ts'
import { button, chooseFiles, complain, dropTarget, h, replaceRows, sizeText } from '../shared/dom.ts'
import { type IconName, icon } from '../shared/icons.ts'
import { themeButton } from '../shared/theme.ts'
import { DisksView } from './disks-view.ts'
import {
  BOOT_ORDERS,
  type BootOrder,
  type Item,
  MACHINE_LABELS,
  MEMORY_SIZES,
  type Model,
  type Start,
  saveSettings,
} from './model.ts'
import type { Role } from './recognise.ts'

const ROLES: Record<Role, { icon: IconName; label: string }> = {
  cd: { icon: 'disc', label: 'CD' },
  floppy: { icon: 'floppy', label: 'Floppy' },
  disk: { icon: 'disk', label: 'Disk' },
  kernel: { icon: 'chip', label: 'Kernel' },
  initrd: { icon: 'layers', label: 'RAM disk' },
}

/** What the view needs. */
export interface SetupOptions {
  /** Why no disks can be kept; undefined where they can. */
  noDisks: string | undefined
  start(what: Start): Promise<void>
}

function select<Value extends string>(
  label: string,
  entries: readonly (readonly [Value, string])[],
  value: Value,
  change: (value: Value) => void,
): HTMLLabelElement {
  const options = entries.map(([key, text]) => h('option', { value: key, selected: key === value }, text))
  const element = h('select', { onchange: () => change(element.value as Value) }, ...options)
  return h('label', { class: 'field' }, label, element)
}

/** The view. */
export class SetupView {
  readonly element: HTMLElement
  readonly #model: Model
  readonly #options: SetupOptions
  readonly #disks: DisksView
  readonly #list = h('ul', { class: 'media', 'aria-label': 'In the machine' })
  readonly #hint = h('p', { class: 'muted small', id: 'hint' })
  readonly #startButton: HTMLButtonElement
  readonly #commandLine: HTMLLabelElement
  readonly #drop: HTMLElement
  readonly #choose = button('Choose files', {
    onclick: async () => this.#take(await chooseFiles({ multiple: true })),
  })
  #starting = false

  constructor(model: Model, options: SetupOptions) {
    this.#model = model
    this.#options = options
    const { settings } = model
    // Fingers drop nothing.
    const isCoarse = matchMedia('(pointer: coarse)').matches
    this.#disks = new DisksView(options.noDisks, {
      attached: name => settings.disks.includes(name),
      attach: name => {
        settings.disks = settings.disks.includes(name)
          ? settings.disks.filter(other => other !== name)
          : [...settings.disks, name]
        this.#changed()
      },
      existing: names => {
        settings.disks = settings.disks.filter(name => names.includes(name))
        this.#changed()
      },
    })
    const linux = button('Start Linux', {
      icon: 'play',
      kind: 'primary large',
      onclick: () => this.#start(() => model.defaultGuest(['TERM=xterm-256color'])),
    })
    this.#startButton = button('Start the machine', {
      icon: 'power',
      kind: 'primary',
      onclick: () => this.#start(async () => model.start()),
    })
    this.#startButton.setAttribute('aria-describedby', 'hint')
    this.#drop = h(
      'div',
      { class: 'drop' },
      icon('upload'),
      h(
        'p',
        {},
        h('strong', {}, isCoarse ? 'Add' : 'Drop', ' a CD, a floppy, a disk or a kernel'),
        !isCoarse && ' anywhere on this page',
      ),
      h('p', { class: 'small' }, 'It is read where it lies, as far as the machine asks for it. Nothing is uploaded.'),
      this.#choose,
    )
    this.#commandLine = h(
      'label',
      { class: 'field wide' },
      'Kernel command line',
      h('input', {
        type: 'text',
        value: settings.commandLine,
        spellcheck: 'false',
        autocapitalize: 'off',
        onchange: (event: Event) => {
          settings.commandLine = (event.target as HTMLInputElement).value
          this.#changed()
        },
      }),
    )
    const machine = h(
      'section',
      { class: 'card', 'aria-labelledby': 'own' },
      h('h2', { id: 'own' }, 'Your own machine'),
      this.#drop,
      this.#list,
      h(
        'div',
        { class: 'settings' },
        select(
          'Memory',
          MEMORY_SIZES.map(size => [String(size), sizeText(size * 2 ** 20)] as const),
          String(settings.memory),
          value => {
            settings.memory = Number(value)
            this.#changed()
          },
        ),
        select(
          'Start from',
          Object.entries(BOOT_ORDERS).map(([key, { label }]) => [key as BootOrder, label] as const),
          settings.boot,
          value => {
            settings.boot = value
            this.#changed()
          },
        ),
        select('Machine', Object.entries(MACHINE_LABELS) as [MachineName, string][], settings.machine, value => {
          settings.machine = value
          this.#changed()
        }),
        this.#commandLine,
      ),
      h('div', { class: 'actions' }, this.#startButton, this.#hint),
    )
    this.element = h(
      'div',
      { class: 'setup' },
      h(
        'header',
        { class: 'bar' },
        h('h1', { class: 'brand' }, h('img', { src: 'icon.svg', alt: '', width: 26, height: 26 }), 'typetwo'),
        h('span', { class: 'gap' }),
        themeButton(),
      ),
      h(
        'main',
        {},
        h(
          'section',
          { class: 'hero' },
          h(
            'div',
            {},
            h('h2', {}, 'A PC in this tab'),
            h(
              'p',
              { class: 'muted' },
              'A 64-bit PC in software. It runs here, on this device: there is nothing to install, and nothing leaves it.',
            ),
          ),
          h(
            'div',
            { class: 'one-click' },
            linux,
            h('p', { class: 'muted small' }, 'Debian’s 64-bit kernel and a shell, in a few seconds'),
          ),
        ),
        machine,
        this.#disks.element,
      ),
    )
    dropTarget(this.element, files => this.#take(files))
  }

  /** Shows what is there now. */
  update(): void {
    this.#changed()
    void this.#disks.update()
  }

  async #take(files: File[]): Promise<void> {
    for (const file of files) {
      try {
        await this.#model.add(file)
      } catch (error) {
        complain(error)
      }
    }
    this.#changed()
  }

  async #start(make: () => Promise<Start>): Promise<void> {
    if (this.#starting) return
    this.#starting = true
    try {
      await this.#options.start(await make())
    } catch (error) {
      complain(error)
    } finally {
      this.#starting = false
    }
  }

  #changed(): void {
    const { items, settings, lacks, hasKernel } = this.#model
    saveSettings(settings)
    const rows = [...items.map(item => this.#row(item)), ...settings.disks.map(name => this.#diskRow(name))]
    replaceRows(this.#list, rows, this.#choose)
    this.#drop.classList.toggle('slim', !this.#list.hidden)
    this.#commandLine.hidden = !hasKernel
    this.#startButton.disabled = lacks !== undefined
    this.#hint.textContent =
      lacks ??
      (this.#discards
        ? 'What is written to a disk you chose from your files is forgotten when the machine ends; import it below to keep changes.'
        : '')
    this.#disks.mark()
  }

  /** Whether a disk is in it that comes from the person's files. */
  get #discards(): boolean {
    return this.#model.items.some(({ role }) => role === 'disk' || role === 'floppy')
  }

  #row(item: Item): HTMLElement {
    const { role, file, description } = item
    const choices: Role[] =
      role === 'cd' || role === 'disk' || role === 'floppy' ? ['cd', 'disk', 'floppy'] : ['kernel', 'initrd']
    const kind = h(
      'select',
      {
        'aria-label': `What ${file.name} is`,
        onchange: () => {
          item.role = kind.value as Role
          this.#changed()
        },
      },
      ...choices.map(choice => h('option', { value: choice, selected: choice === role }, ROLES[choice].label)),
    )
    return h(
      'li',
      {},
      icon(ROLES[role].icon),
      h(
        'span',
        { class: 'name' },
        h('strong', {}, file.name),
        h('span', { class: 'muted small' }, `${description} · ${sizeText(file.size)}`),
      ),
      kind,
      button(`Take out ${file.name}`, {
        icon: 'close',
        kind: 'quiet',
        compact: true,
        onclick: () => {
          this.#model.remove(item)
          this.#changed()
        },
      }),
    )
  }

  #diskRow(name: string): HTMLElement {
    return h(
      'li',
      {},
      icon('disk'),
      h(
        'span',
        { class: 'name' },
        h('strong', {}, name),
        h('span', { class: 'muted small' }, 'disk, kept in this browser'),
      ),
      button(`Take out ${name}`, {
        icon: 'close',
        kind: 'quiet',
        compact: true,
        onclick: () => {
          const { settings } = this.#model
          settings.disks = settings.disks.filter(other => other !== name)
          this.#changed()
        },
      }),
    )
  }
}

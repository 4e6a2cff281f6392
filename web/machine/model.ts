/** The machine that the person puts together: what is in it, and what it becomes. */
import type {
  CdromOptions,
  DiskOptions,
  FloppyOptions,
  MachineName,
  MachineOptions,
} from '../../src/hosts/browser/index.ts'
import { imageOf } from '../../src/hosts/browser/index.ts'
import { type Recognised, recognise } from './recognise.ts'

const MiB = 2 ** 20

/** Sizes of memory that are offered, in MiB. */
export const MEMORY_SIZES = [16, 32, 64, 128, 256, 512, 1024, 2048] as const

/** What firmware tries first. */
export const BOOT_ORDERS = {
  auto: { label: 'Automatic', order: undefined },
  cd: { label: 'CD first', order: ['cdrom', 'disk', 'floppy'] },
  disk: { label: 'Disk first', order: ['disk', 'cdrom', 'floppy'] },
  floppy: { label: 'Floppy first', order: ['floppy', 'disk', 'cdrom'] },
  menu: { label: 'Ask at the start', order: undefined },
} as const
export type BootOrder = keyof typeof BOOT_ORDERS

/** The kinds of machines. */
export const MACHINE_LABELS: Record<MachineName, string> = {
  pc: 'PC of 1996 (i440FX, IDE)',
  q35: 'PC of 2007 (Q35, PCI Express)',
}

/** What is kept of the settings from one visit to the next. */
export interface Settings {
  /** MiB. */
  memory: number
  boot: BootOrder
  machine: MachineName
  commandLine: string
  /** Names of kept disks that are in the machine. */
  disks: string[]
}

/** A file of the person, and what it is to the machine. */
export interface Item extends Recognised {
  file: File
}

const DEFAULTS: Settings = { memory: 512, boot: 'auto', machine: 'pc', commandLine: 'console=ttyS0', disks: [] }
const KEY = 'typetwo.machine'

/** The settings of the last visit. */
export function loadSettings(): Settings {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Settings>
    return {
      memory: MEMORY_SIZES.includes(kept.memory as never) ? kept.memory! : DEFAULTS.memory,
      boot: kept.boot && kept.boot in BOOT_ORDERS ? kept.boot : DEFAULTS.boot,
      machine: kept.machine && kept.machine in MACHINE_LABELS ? kept.machine : DEFAULTS.machine,
      commandLine: typeof kept.commandLine === 'string' ? kept.commandLine : DEFAULTS.commandLine,
      disks: Array.isArray(kept.disks) ? kept.disks.filter(name => typeof name === 'string') : [],
    }
  } catch {
    return { ...DEFAULTS }
  }
}

/** Keeps the settings, where the browser lets the page. */
export function saveSettings(settings: Settings): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings))
  } catch {
    // They are for comfort only.
  }
}

/** What can be started. */
export interface Start {
  title: string
  options: MachineOptions
  /** The kept disks that it writes. */
  disks: readonly string[]
  /** Its console is COM1 rather than a screen. */
  serial: boolean
  /** Tells how far the files are that come from the site. */
  loading: Loading
}

/** Files that are on their way. */
export class Loading {
  /** Hears of what is being loaded, and how much of it is there, from 0 to 1. */
  onProgress: (what: string, fraction: number) => void = () => {}

  /** A file for MachineOptions; got anew at each reset, mostly from the browser's cache. */
  file(path: string, what: string): () => Promise<Uint8Array> {
    return () => fetchFile(path, what, fraction => this.onProgress(what, fraction))
  }
}

/** Gets a file of the site. @throws Error with one sentence */
export async function fetchFile(
  path: string,
  what: string,
  onProgress: (fraction: number) => void = () => {},
): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response
  try {
    response = await fetch(path)
  } catch {
    throw new Error(`${what} cannot be loaded: the server of this page does not answer`)
  }
  if (!response.ok) {
    const reason = response.headers.get('content-type')?.startsWith('text/plain') ? (await response.text()).trim() : ''
    throw new Error(`${what} cannot be loaded: ${reason || `the server of this page answers ${response.status}`}`)
  }
  // What is packed on its way is longer than it says.
  const total = response.headers.has('content-encoding') ? 0 : Number(response.headers.get('content-length'))
  let done = 0
  const counted = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      done += chunk.length
      if (total > 0) onProgress(Math.min(1, done / total))
      controller.enqueue(chunk)
    },
  })
  try {
    return new Uint8Array(await new Response(response.body!.pipeThrough(counted)).arrayBuffer())
  } catch {
    throw new Error(`${what} cannot be loaded: the server of this page stopped in the middle`)
  }
}

/** The machine that is put together. */
export class Model {
  readonly settings: Settings
  readonly items: Item[] = []

  constructor(settings = loadSettings()) {
    this.settings = settings
  }

  /** Takes a file in. @throws Error with one sentence where it is nothing for a machine */
  async add(file: File): Promise<Item> {
    const item = { file, ...(await recognise(file)) }
    if (item.role === 'kernel' || item.role === 'initrd' || item.role === 'floppy') {
      // Of these there is one; a second floppy has a drive of its own.
      const most = item.role === 'floppy' ? 2 : 1
      const same = this.items.filter(({ role }) => role === item.role)
      if (same.length >= most) this.remove(same[0])
    }
    this.items.push(item)
    return item
  }

  /** Takes a file out. */
  remove(item: Item): void {
    this.items.splice(this.items.indexOf(item), 1)
  }

  /** Whether there is a kernel that starts without firmware. */
  get hasKernel(): boolean {
    return this.items.some(({ role }) => role === 'kernel')
  }

  /** Why it cannot be started; undefined where it can. */
  get lacks(): string | undefined {
    const { items, settings } = this
    if (this.hasKernel) return undefined
    if (items.some(({ role }) => role === 'initrd')) return 'An initial RAM disk needs its kernel: add that too.'
    if (items.length + settings.disks.length === 0) return 'Add a CD, a disk, a floppy or a kernel to start from.'
    return undefined
  }

  /** What it becomes. */
  start(): Start {
    const { items, settings } = this
    const loading = new Loading()
    const files = (role: Item['role']) => items.filter(item => item.role === role)
    const disks: DiskOptions[] = [
      ...settings.disks.map(name => ({ image: imageOf(name) })),
      ...files('disk').map(({ file, format }) => ({ image: file, format })),
    ].map(options => ({ ...options, bus: settings.machine === 'q35' ? 'sata' : 'ide' }))
    const cds: CdromOptions[] = files('cd').map(({ file }) => ({ image: file }))
    const floppies: FloppyOptions[] = files('floppy').map(({ file }) => ({ image: file }))
    // An empty drive, so that a CD can be put in later.
    if (cds.length === 0 && disks.length < 4) cds.push({})
    const bus = settings.machine === 'q35' ? 'sata' : 'ide'
    const shared: MachineOptions = {
      memory: settings.memory * MiB,
      machine: settings.machine,
      disks,
      cdroms: cds.map(cd => ({ ...cd, bus })),
      floppies,
      onFullDisk: 'pause',
      sound: true,
      boot: { order: BOOT_ORDERS[settings.boot].order, menu: settings.boot === 'menu' },
    }
    const [first] = [...items.map(({ file }) => file.name), ...settings.disks]
    const [kernel] = files('kernel')
    if (kernel) {
      const read = (file: File) => async () => new Uint8Array(await file.arrayBuffer())
      const [initrd] = files('initrd')
      const options: MachineOptions = {
        ...shared,
        kernel: read(kernel.file),
        initrd: initrd && read(initrd.file),
        commandLine: settings.commandLine,
        display: true,
      }
      const serial = /\bconsole=(ttyS|hvc)/.test(settings.commandLine)
      return { title: kernel.file.name, options, disks: [...settings.disks], serial, loading }
    }
    const options: MachineOptions = {
      ...shared,
      firmware: loading.file('firmware/bios-256k.bin', 'the firmware'),
      videoBios: loading.file('firmware/vgabios-stdvga.bin', 'the firmware of the screen'),
      display: true,
    }
    return { title: first, options, disks: [...settings.disks], serial: false, loading }
  }

  /** Debian's kernel with a shell, as the command boots it. @throws Error with one sentence where the site has none */
  async defaultGuest(words: readonly string[]): Promise<Start> {
    const loading = new Loading()
    const json = await fetchFile('guest/guest.json', 'the Linux guest')
    const { append } = JSON.parse(new TextDecoder().decode(json)) as { append: string }
    const options: MachineOptions = {
      memory: 256 * MiB,
      kernel: loading.file('guest/vmlinuz', 'the Linux kernel'),
      initrd: loading.file('guest/initrd', 'the initial RAM disk'),
      commandLine: [append, ...words].join(' '),
      disks: this.settings.disks.map(name => ({ image: imageOf(name), bus: 'virtio' })),
      onFullDisk: 'pause',
    }
    return { title: 'Debian Linux', options, disks: [...this.settings.disks], serial: true, loading }
  }
}

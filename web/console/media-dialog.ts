/** The dialog in which a CD or floppy is chosen, uploaded or taken out. */
import { button, chooseFiles, complain, dropTarget, h, note, sizeText } from '../shared/dom.ts'
import { icon } from '../shared/icons.ts'
import { type Remote, upload } from './remote.ts'

/** What an image's name may end in. */
const ACCEPT = '.iso,.img,.ima,.flp,.vfd,.dsk,.raw,.bin,.cdr,.qcow2,.vdi,.vhd,.vhdx,.vmdk'

/** A drive whose medium can be changed. */
export interface RemoteDrive {
  readonly name: string
  readonly kind: string
}

/** What people call a drive. */
export function driveTitle({ kind, name }: RemoteDrive): string {
  const number = Number(name.replace(/\D/g, '')) + 1
  return `${kind === 'cdrom' ? 'CD drive' : 'Floppy drive'} ${number}`
}

/** Shows the dialog until it is closed. */
export function chooseMedium(remote: Remote, drive: RemoteDrive): void {
  const what = drive.kind === 'cdrom' ? 'CD' : 'floppy'
  const list = h('ul', { class: 'choices', 'aria-label': 'Images' })
  const empty = h('p', { class: 'muted', hidden: true }, 'There are no images in the folder yet.')
  const uploading = h('div', { class: 'upload', hidden: true })
  const stop = new AbortController()

  async function insert(name: string): Promise<void> {
    try {
      await remote.ask({ type: 'insert', drive: drive.name, name })
      note(`“${name}” is in the drive.`)
      dialog.close()
    } catch (error) {
      complain(error)
    }
  }

  async function fill(): Promise<void> {
    const { media = [] } = await remote.ask({ type: 'media' })
    empty.hidden = media.length > 0
    list.replaceChildren(
      ...media.map(({ name, size }) =>
        h(
          'li',
          {},
          h(
            'button',
            { type: 'button', onclick: () => void insert(name) },
            icon(what === 'CD' ? 'disc' : 'floppy'),
            name,
            h('span', { class: 'end' }, sizeText(size)),
          ),
        ),
      ),
    )
  }

  async function take([file]: File[]): Promise<void> {
    if (!file || !uploading.hidden) return
    const bar = h('progress', { max: 1, value: 0, 'aria-label': `Uploading ${file.name}` })
    uploading.replaceChildren(h('span', {}, `Uploading “${file.name}”, ${sizeText(file.size)}`), bar)
    uploading.hidden = false
    try {
      const progress = (part: number) => {
        bar.value = part
      }
      await upload(file, progress, stop.signal)
      await fill()
    } catch (error) {
      if (!stop.signal.aborted) complain(error)
    } finally {
      uploading.hidden = true
    }
  }

  const drop = h(
    'div',
    { class: 'drop' },
    h('span', {}, 'Drop an image here, or'),
    button('Upload one', { icon: 'upload', onclick: async () => take(await chooseFiles({ accept: ACCEPT })) }),
  )
  const content = remote.description?.hasMedia
    ? [list, empty, drop, uploading]
    : [
        h(
          'p',
          { class: 'muted' },
          'Start typetwo with ',
          h('code', {}, 'media=FOLDER'),
          ' behind ',
          h('code', {}, '--display web=…'),
          ' to choose from the images in a folder, and to put more there.',
        ),
      ]
  const dialog = h(
    'dialog',
    { class: 'dialog', 'aria-label': driveTitle(drive) },
    h(
      'form',
      { method: 'dialog' },
      h('h2', {}, driveTitle(drive)),
      ...content,
      h(
        'footer',
        {},
        button(`Take the ${what} out`, { icon: 'eject', onclick: () => void eject(false) }),
        h('button', { type: 'submit', class: 'button' }, 'Close'),
      ),
    ),
  )

  async function eject(force: boolean): Promise<void> {
    try {
      await remote.ask({ type: 'eject', drive: drive.name, force })
      note('The drive is empty.')
      dialog.close()
    } catch (error) {
      complain(error)
    }
  }

  dropTarget(dialog, files => void take(files))
  dialog.addEventListener('close', () => {
    stop.abort()
    dialog.remove()
  })
  document.body.append(dialog)
  dialog.showModal()
  if (remote.description?.hasMedia) fill().catch(complain)
}

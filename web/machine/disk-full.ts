/** What is asked when the browser has no more room for what a machine writes. */
import { deleteDisk, listDisks } from '../../src/hosts/browser/index.ts'
import { ask, complain, h, sizeText } from '../shared/dom.ts'
import { icon } from '../shared/icons.ts'

/**
 * Says why the machine is paused, and offers to delete disks.
 * @param sentence of the error
 * @param inUse names of the machine's own disks
 * @returns whether it shall try again
 */
export async function askForRoom(sentence: string, inUse: readonly string[]): Promise<boolean> {
  const choices = h('ul', { class: 'choices' })
  const list = async () => {
    const others = (await listDisks()).filter(({ name }) => !inUse.includes(name))
    choices.replaceChildren(
      ...others.map(({ name, stored }) => {
        const remove = () => void askToDelete(name, stored).then(list).catch(complain)
        const label = `Delete the disk “${name}”…`
        const size = h('span', { class: 'end' }, sizeText(stored))
        return h('li', {}, h('button', { type: 'button', onclick: remove }, icon('trash'), label, size))
      }),
    )
  }
  await list().catch(complain)
  return ask({
    title: 'The machine is paused: there is no room for what it writes',
    content: [
      `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}.`,
      'Nothing that was written is lost, and it goes on where it was as soon as there is room.',
      choices,
    ],
    action: 'Try again',
    cancel: 'Leave it paused',
  })
}

/** Deletes a disk if the person is sure. @returns whether it is gone */
export function askToDelete(name: string, stored: number): Promise<boolean> {
  return ask({
    title: `Delete “${name}”?`,
    content: [`What is on it is lost for good, and ${sizeText(stored)} become free.`],
    action: 'Delete it',
    danger: true,
    check: () => deleteDisk(name),
  })
}

/** Commands that change what is in a drive. */
import { controlCommand, type ReadyTarget } from './command.ts'

/** How long a guest that has locked a drive may take to let go: milliseconds. */
const WAIT = 5000

/** @throws Error with one sentence */
function driveOf({ machine, name }: ReadyTarget, wanted: string) {
  const drive = machine.drives.find(({ name }) => name === wanted)
  if (drive && drive.kind !== 'disk') return drive
  const removable = machine.drives.filter(({ kind }) => kind !== 'disk').map(({ name }) => name)
  const there = removable.length > 0 ? `there are ${removable.join(', ')}` : 'there is none'
  throw new Error(`machine '${name}' has no drive '${wanted}' whose medium can be changed: ${there}`)
}

/**
 * Takes the medium out of a drive. A guest that has locked the drive is asked, and may take 5 seconds.
 *
 * Parameters: `drive`, as `cdrom0`; `force`: whatever the guest says. Result: `{}`.
 */
export const EJECT = controlCommand({
  parameters: { drive: 'string', force: 'boolean?' },
  async run(target, { drive, force }) {
    await driveOf(target, drive).eject({ force, wait: WAIT })
    return {}
  },
})

/**
 * Puts an image into a drive, in place of what is there.
 *
 * Parameters: `drive`; `path`: of the image, absolute; `readOnly`; `force`: though the guest has locked the drive. Result: `{}`.
 */
export const INSERT = controlCommand({
  parameters: { drive: 'string', path: 'string', readOnly: 'boolean?', force: 'boolean?' },
  async run(target, { drive, path, readOnly, force }) {
    await driveOf(target, drive).insert(path, { readOnly, force, wait: WAIT })
    return {}
  },
})

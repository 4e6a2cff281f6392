/** The variables of UEFI firmware in a file of the host. */
import { copyFile } from 'node:fs/promises'
import type { ByteFile } from '../../disk/byte-file.ts'
import { DiskError } from '../../disk/disk.ts'
import type { VariableStore } from '../../machine/machine.ts'
import { openFile } from './byte-file.ts'
import { reasonOf, UserError } from './user-error.ts'

/** Largest file of variables that is read. */
const LARGEST = 16 * 2 ** 20

/**
 * Opens a file of variables for one machine, and makes it of `template` where it is missing.
 * @throws UserError with one sentence where it cannot be used
 */
export async function openVariables(path: string, template: string): Promise<VariableStore> {
  const refuse = (reason: string) => new UserError(`the variables of UEFI '${path}' cannot be used: ${reason}`)
  const open = () => openFile(path)
  let file: ByteFile
  try {
    file = await open().catch(async error => {
      if (!(error instanceof DiskError) || error.code !== 'not-found') throw error
      await copyFile(template, path)
      return open()
    })
  } catch (error) {
    throw refuse(error instanceof DiskError ? error.message : reasonOf(error))
  }
  if (file.size > LARGEST) {
    await file.close()
    throw refuse(`it has ${file.size} bytes, which is no flash`)
  }
  return {
    async read() {
      const bytes = new Uint8Array(file.size)
      await file.read(0, bytes)
      return bytes
    },
    write: (offset, bytes) => file.write(offset, bytes),
  }
}

/** typetwo in a page: what is kept there, and what the browser must have. Machines are those of the main entry. */

export * from '../../index.ts'
export {
  createDisk,
  deleteDisk,
  exportDisk,
  imageOf,
  importDisk,
  type KeptDisk,
  LEAST_DISK,
  listDisks,
  MOST_DISK,
  type TaskOptions,
  tidyDisks,
} from './disks.ts'
export { type BrowserScope, missingForDisks, missingForMachines } from './requirements.ts'

/** QEMU's words for the machine that typetwo's is compared with. */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FIRMWARE, UserError } from '../../src/hosts/node/index.ts'
import type { InstallPlan } from './installer.ts'

const DRIVES: Record<string, (file: string) => string[]> = {
  ide: file => ['-drive', `file=${file},if=ide`],
  sata: file => [
    ...['-device', 'ahci,id=ahci', '-drive', `file=${file},if=none,id=d`],
    ...['-device', 'ide-hd,drive=d,bus=ahci.0'],
  ],
  nvme: file => ['-drive', `file=${file},if=none,id=d`, '-device', 'nvme,drive=d,serial=1'],
  virtio: file => ['-drive', `file=${file},if=virtio`],
}

/**
 * TCG with 512 MiB, COM1 at standard input and output, and a disk.
 * @param folder where a copy of UEFI's variables goes
 * @throws UserError where the host has no UEFI firmware
 */
export async function qemuWords(
  disk: string,
  { firmware, bus, folder }: { firmware: InstallPlan['firmware']; bus: string; folder: string },
): Promise<string[]> {
  const words = [
    ...['-accel', 'tcg,thread=single', '-m', '512', '-display', 'none', '-nic', 'none'],
    ...['-serial', 'stdio', '-monitor', 'none'],
    ...DRIVES[bus](disk),
  ]
  if (firmware === 'bios') return words
  const [code, template] = FIRMWARE.ovmf.files.map(file => `/${file}`)
  const variables = join(folder, 'qemu-variables.fd')
  await copyFile(template, variables).catch(() => {
    throw new UserError("QEMU boots by UEFI with the host's ovmf: install the package ovmf")
  })
  const flash = 'if=pflash,format=raw'
  return [...words, '-drive', `${flash},readonly=on,file=${code}`, '-drive', `${flash},file=${variables}`]
}

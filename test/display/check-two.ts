/** Two systems beside each other, a desktop and one on a serial port. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureDefaultGuest } from '../../src/hosts/node/index.ts'
import { desktopWords, startDesktop } from './check-desktop.ts'
import type { Check } from './checks.ts'
import { typetwo } from './seat.ts'

/** A Debian with X, and Debian's 32-bit kernel with a shell of busybox, at the same time. */
export const sideBySide: Check = {
  name: 'two',
  how: 'the desktop with a virtio GPU, and a 32-bit system without screen, each in a process of its own',
  shows: 'both answer at their consoles, in turn, and the desktop is used while the other works',
  async use({ say, start }) {
    const folder = await mkdtemp(join(tmpdir(), 'typetwo-two-'))
    try {
      const { kernel, initrd, append } = await ensureDefaultGuest({ arch: 'i386' })
      const desktop = await start([...(await desktopWords(folder, 'virtio', say)), '--serial', 'stdio'], 'two-desktop')
      const other = await start(['--kernel', kernel, '--initrd', initrd, '--append', append], 'two-serial')
      await other.com1.until(/typetwo:~# /, 900)
      await desktop.com1.until(/root@desktop:~# /, 1800)
      const list = await typetwo('ls')
      for (const { name } of [desktop, other])
        if (!new RegExp(`^${name} .*running`, 'm').test(list))
          throw new Error(`typetwo ls does not have ${name}:\n${list}`)
      // One works without a break from now on.
      await other.com1.command('while true; do i=$((i+1)); done & echo started')
      await startDesktop(desktop)
      await desktop.look('desktop')
      for (const [seat, machine] of [
        [desktop, 'x86_64'],
        [other, 'i686'],
        [desktop, 'x86_64'],
      ] as const) {
        const answer = await seat.com1.command('uname -m', 300)
        if (answer !== machine) throw new Error(`${seat.name} says ${answer}, not ${machine}`)
      }
      // The other has no screen, and says so.
      const refused = await other.look().then(
        () => 'nothing',
        error => (error as Error).message,
      )
      if (!/no display adapter/.test(refused)) throw new Error(`a screenshot of the other gives ${refused}`)
      await typetwo('power', other.name, 'off')
      await other.com1.ended(120)
      if ((await desktop.com1.command('echo still here', 300)) !== 'still here') throw new Error('the desktop is gone')
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

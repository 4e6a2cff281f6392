/** The default guest with its shell at COM1, for measurements that have it work. */
import { readFile } from 'node:fs/promises'
import { ensureDefaultGuest, Machine, terminalWords } from '../src/hosts/node/index.ts'

/** Characters that are kept of what the guest wrote. */
const KEPT = 4096

/** A guest that runs, and its shell. */
export interface Shell {
  readonly machine: Machine
  /** Has the shell do something. @throws Error when the machine ends before it is done */
  run(line: string): Promise<void>
}

/** Boots the default guest, until its shell, which says neither what is typed nor prompts, waits for commands. */
export async function startShell(options: { display?: boolean; engine?: 'auto' } = {}): Promise<Shell> {
  const guest = await ensureDefaultGuest({})
  const machine = await Machine.create({
    kernel: await readFile(guest.kernel),
    initrd: await readFile(guest.initrd),
    commandLine: `${guest.append} ${terminalWords({ typed: false, size: undefined, kind: 'dumb' }).join(' ')}`,
    ...options,
  })
  let text = ''
  let heard = () => {}
  void (async () => {
    for await (const bytes of machine.serial[0].readable) {
      text = (text + Buffer.from(bytes).toString('latin1')).slice(-KEPT)
      heard()
    }
  })()
  const ended = machine.stopped.then(({ reason, message }) => {
    throw new Error(`the machine ended: ${reason} ${message ?? ''}\n${text}`)
  })
  // Told to who waits.
  ended.catch(() => {})
  const writer = machine.serial[0].writable.getWriter()
  /** Types, and waits for a line, which is taken away with what came before it. */
  const type = async (typed: string, line: string) => {
    await writer.write(Buffer.from(`${typed}\n`))
    for (;;) {
      const at = text.search(new RegExp(`${line}\\r?\\n`))
      if (at >= 0) {
        text = text.slice(at + line.length)
        return
      }
      await Promise.race([
        ended,
        new Promise<void>(resolve => {
          heard = resolve
        }),
      ])
    }
  }
  await machine.start()
  // What is echoed has the quotes.
  await type('stty -echo; PS1=; echo rea""dy', 'ready')
  let commands = 0
  return {
    machine,
    run: line => type(`${line}\necho did""-${commands}-over`, `did-${commands++}-over`),
  }
}

/** The README's example of the library in a page: boots Linux, asks it for its name, and turns it off. */
import { Machine } from 'typetwo'

const get = (path: string) => async () => new Uint8Array(await (await fetch(path)).arrayBuffer())
const { append } = await (await fetch('guest/guest.json')).json()
const machine = await Machine.create({
  kernel: get('guest/vmlinuz'),
  initrd: get('guest/initrd'),
  commandLine: append,
})
const shown = document.querySelector('pre')!
const decoder = new TextDecoder()
machine.serial[0].readable.pipeTo(new WritableStream({ write: bytes => shown.append(decoder.decode(bytes)) }))
const keys = machine.serial[0].writable.getWriter()
keys.write(new TextEncoder().encode('uname -a\npoweroff -f\n'))
await machine.start()
const { reason } = await machine.stopped // 'poweroff'
shown.append(reason)

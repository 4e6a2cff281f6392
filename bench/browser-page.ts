/** The part of bench/browser.ts that runs in the page: a guest, from its files to its end. */
import { Machine } from 'typetwo'
import { type GuestRun, runGuest } from './browser-guest.ts'

const get = (path: string) => async () => new Uint8Array(await (await fetch(path)).arrayBuffer())

Object.assign(globalThis, {
  run: (commandLine: string): Promise<GuestRun> =>
    runGuest(
      options => Machine.create(options),
      { kernel: get('kernel'), initrd: get('ramdisk'), commandLine },
      (globalThis as unknown as { said(name: string): void }).said,
    ),
})

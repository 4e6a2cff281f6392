/** The guests that are measured, and the commands that run them: typetwo's own and QEMU's. */
import { accessSync, constants } from 'node:fs'

/** What there is to know before a guest can be run. */
export interface Setup {
  /** Folder of vmlinuz64, initrd64.gz, vmlinuz32 and initrd32.gz, as `../shared/bench/build-guests.sh` leaves them. */
  guests: string
  bits: 32 | 64
  /** What `typetwo run --engine` gets. */
  engine: string
}

/** Who runs a guest. */
export type Peer = 'typetwo' | 'tcg'

/** The guest's memory: MiB, for both peers. */
export const MEMORY = 256

const QEMU = 'qemu-system-x86_64'
const BASE = 'console=ttyS0 quiet mitigations=off'
const TYPETWO = new URL('../bin/typetwo', import.meta.url).pathname

const kernelOf = ({ guests, bits }: Setup): string => `${guests}/vmlinuz${bits}`
const initrdOf = ({ guests, bits }: Setup): string => `${guests}/initrd${bits}.gz`

/** The command that runs a guest and copies its COM1 to standard output; `bench` is the guest's own `bench=` word. */
export function commandOf(peer: Peer, setup: Setup, bench: string): string[] {
  const append = `${BASE} bench=${bench}`
  const boot = (option: (name: string) => string) => [
    ...[option('kernel'), kernelOf(setup), option('initrd'), initrdOf(setup), option('append'), append],
  ]
  if (peer === 'typetwo') {
    return [TYPETWO, 'run', '--engine', setup.engine, '--memory', `${MEMORY}M`, ...boot(name => `--${name}`)]
  }
  const quiet = '-vga std -net none -display none -serial stdio -monitor none -no-reboot'.split(' ')
  return [QEMU, '-accel', 'tcg,thread=single', '-m', String(MEMORY), ...quiet, ...boot(name => `-${name}`)]
}

/** Where a command is found by PATH, or undefined. */
export function findCommand(name: string, path = process.env.PATH ?? ''): string | undefined {
  return path
    .split(':')
    .map(folder => `${folder}/${name}`)
    .find(file => isReadable(file, constants.X_OK))
}

/** One sentence that says what is missing for a measurement and how to get it, or undefined when all is there. */
export function missing(setup: Setup, pinned: boolean, path = process.env.PATH): string | undefined {
  if (!findCommand(QEMU, path)) {
    return `${QEMU}, which typetwo is measured against, is not on PATH: install Debian's package qemu-system-x86`
  }
  if (pinned && !findCommand('taskset', path)) {
    return "taskset, which pins both peers to one CPU, is not on PATH: install Debian's package util-linux, or give --cpu none"
  }
  for (const file of [kernelOf(setup), initrdOf(setup)]) {
    if (!isReadable(file, constants.R_OK)) {
      return `${file} cannot be read: build the guests by ../shared/bench/build-guests.sh, and name its folder by PEERS_CACHE if it is not /tmp/peers`
    }
  }
  return undefined
}

function isReadable(file: string, mode: number): boolean {
  try {
    accessSync(file, mode)
    return true
  } catch {
    return false
  }
}

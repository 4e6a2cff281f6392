/** `--serial` and `--parallel`: where a port of the machine leads. */
import type { SerialPlace } from '../hosts/node/serial-line.ts'
import { UsageError } from './command.ts'
import { commaWords, parseAddress } from './words.ts'

/** Where a port leads: this terminal, nowhere, or a place of the host. */
export type PortChoice = { kind: 'stdio' } | { kind: 'none' } | SerialPlace

/**
 * Understands `stdio`, `none`, `file:PATH[,append]`, `tcp:HOST:PORT[,connect]`, `unix:PATH[,connect]`. A comma that is part of a path is
 * written twice.
 * @param option its name, for the messages; only a serial port can lead to `stdio`
 * @throws UsageError naming what is wrong
 */
export function parsePort(option: 'serial' | 'parallel', text: string): PortChoice {
  const refuse = (reason: string) => new UsageError(`--${option} '${text}': ${reason}`)
  const kinds = `${option === 'serial' ? 'stdio, ' : ''}none, file:PATH, tcp:HOST:PORT or unix:PATH`
  if (text === 'none' || (text === 'stdio' && option === 'serial')) return { kind: text }
  const [, kind, rest] = /^(file|tcp|unix):(.*)$/s.exec(text) ?? []
  if (kind === undefined) throw refuse(`give ${kinds}`)
  const [place, ...words] = commaWords(rest)
  const known = kind === 'file' ? 'append' : 'connect'
  const other = words.find(word => word !== known)
  if (other !== undefined)
    throw refuse(`'${other}' means nothing here, only ${known} may follow (a comma in a path is written twice)`)
  const flag = words.length > 0 ? { [known]: true } : {}
  if (kind === 'tcp') {
    const address = parseAddress(place)
    if (!address) throw refuse('give a host and a port of 0 to 65535, as in tcp:localhost:4000')
    return { kind, ...address, ...flag }
  }
  if (place === '') throw refuse(`a path is missing, as in ${kind}:console.${kind === 'file' ? 'log' : 'sock'}`)
  return { kind: kind as 'file' | 'unix', path: place, ...flag }
}

/** How many serial ports a machine has. */
export const MOST_SERIAL = 4

/**
 * Where COM1 to COM4 lead.
 * @param given the values of `--serial`, COM1's first
 * @param fallback where COM1 leads when nothing was given; the others lead nowhere
 * @throws UsageError
 */
export function serialChoices(given: readonly string[] = [], fallback: PortChoice = { kind: 'stdio' }): PortChoice[] {
  if (given.length > MOST_SERIAL)
    throw new UsageError(`--serial is given ${given.length} times, but a machine has ${MOST_SERIAL} serial ports`)
  const choices = given.map(text => parsePort('serial', text))
  if (choices.filter(({ kind }) => kind === 'stdio').length > 1)
    throw new UsageError('--serial stdio is given twice: one serial port can lead to this terminal')
  return Array.from({ length: MOST_SERIAL }, (_, i) => choices[i] ?? (i === 0 ? fallback : { kind: 'none' }))
}

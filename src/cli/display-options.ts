/** `--display`: how people see a machine. */
import type { VncOptions } from '../hosts/node/display/vnc.ts'
import type { WebOptions } from '../hosts/node/display/web.ts'
import { UsageError } from './command.ts'
import { commaWords, hint, parseAddress } from './words.ts'

/** A way to see a machine. */
export type DisplayChoice =
  | { kind: 'none' }
  | { kind: 'terminal' }
  | ({ kind: 'vnc' } & VncOptions)
  | ({ kind: 'web' } & WebOptions)

/** What may follow the address. */
const WORDS = {
  vnc: ['password-file', 'tls-cert', 'tls-key'],
  web: ['media', 'host-name', 'tls-cert', 'tls-key'],
} as const

/** What the kinds look like, for messages. */
const KINDS = 'none, terminal, vnc=HOST:PORT or web=HOST:PORT'

/**
 * Understands `none`, `terminal`, `vnc=HOST:PORT[,password-file=FILE][,tls-cert=FILE,tls-key=FILE]` and
 * `web=HOST:PORT[,media=FOLDER][,host-name=NAME][,tls-cert=FILE,tls-key=FILE]`. A comma that is part of a path is written twice.
 * @throws UsageError naming what is wrong
 */
export function parseDisplay(text: string): DisplayChoice {
  const refuse = (reason: string) => new UsageError(`--display '${text}': ${reason}`)
  if (text === 'none' || text === 'terminal') return { kind: text }
  const [, kind, rest] = /^(vnc|web)(?:[=:](.*))?$/s.exec(text) ?? []
  if (kind !== 'vnc' && kind !== 'web') throw refuse(`give ${KINDS}`)
  const example = `${kind}=127.0.0.1:${kind === 'vnc' ? 5900 : 8080}`
  if (!rest) throw refuse(`give a host and a port, as in ${example}`)
  const [place, ...words] = commaWords(rest)
  // A number alone is a port.
  const address = parseAddress(/^\d+$/.test(place) ? `:${place}` : place)
  if (!address) throw refuse(`give a host and a port of 0 to 65535, as in ${example}`)
  const given: Record<string, string> = {}
  for (const word of words) {
    const at = word.indexOf('=')
    const name = at < 0 ? word : word.slice(0, at)
    const known: readonly string[] = WORDS[kind]
    if (!known.includes(name))
      throw refuse(`there is no '${name}'; ${hint(name, known)} (a comma in a path is written twice)`)
    if (at < 0 || at === word.length - 1) throw refuse(`${name} needs a value, as in ${name}=PATH`)
    given[name] = word.slice(at + 1)
  }
  const { 'tls-cert': cert, 'tls-key': key } = given
  if ((cert === undefined) !== (key === undefined))
    throw refuse('a certificate and its key belong together: give both tls-cert and tls-key')
  const certificate = cert !== undefined ? { certificate: { cert, key } } : {}
  if (kind === 'vnc')
    return {
      kind,
      ...address,
      ...certificate,
      ...(given['password-file'] !== undefined && { passwordFile: given['password-file'] }),
    }
  return {
    kind,
    ...address,
    ...certificate,
    ...(given.media !== undefined && { mediaFolder: given.media }),
    ...(given['host-name'] !== undefined && { hostName: given['host-name'] }),
  }
}

/**
 * The displays that were asked for.
 * @throws UsageError
 */
export function displayChoices(given: readonly string[] = []): DisplayChoice[] {
  const choices = given.map(parseDisplay)
  if (choices.length > 1 && choices.some(({ kind }) => kind === 'none'))
    throw new UsageError('--display none stands alone: leave it out, or the others')
  if (choices.filter(({ kind }) => kind === 'terminal').length > 1)
    throw new UsageError('--display terminal is given twice: there is one terminal')
  return choices.filter(({ kind }) => kind !== 'none')
}

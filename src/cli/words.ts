/** The values of options that consist of several words, as `disk.img,bus=ide` and `127.0.0.1:5900`. */
import { nearest } from './command.ts'

/** What stands between commas. A comma that is part of a word is written twice. */
export function commaWords(text: string): [first: string, ...more: string[]] {
  // No word has a NUL in it, as no argument of a program has.
  const words = text.replaceAll(',,', '\0').split(',')
  return words.map(word => word.replaceAll('\0', ',')) as [string, ...string[]]
}

/** What to write in place of a word that is none of those that there are: `did you mean bus?`, or all of them. */
export function hint(word: string, known: readonly string[]): string {
  const near = nearest(word, known)
  return near ? `did you mean ${near}?` : `there are ${known.join(', ')}`
}

/**
 * `HOST:PORT`, with HOST perhaps in brackets, as addresses of IPv6 are. Where no host is named it is 127.0.0.1: nobody else's network
 * is meant.
 * @returns undefined where it is something else
 */
export function parseAddress(text: string): { host: string; port: number } | undefined {
  const [, host, port] = /^(.*):(\d{1,5})$/.exec(text) ?? []
  if (port === undefined || Number(port) > 65535) return undefined
  const bare = /^\[(.*)\]$/.exec(host)?.[1] ?? host
  return { host: bare === '' ? '127.0.0.1' : bare, port: Number(port) }
}

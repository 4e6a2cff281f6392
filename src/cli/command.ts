/**
 * How a command of typetwo is described. The parser, the messages about wrong input and the manual page that `--help`
 * prints all come from the one description.
 */
import { parseArgs } from 'node:util'
import { UserError } from '../hosts/node/user-error.ts'

/** One option of a command. */
export interface OptionDescription {
  /** What its value is called in the manual, as in `SIZE`; an option without one is a switch. */
  value?: string
  /** The values there are, where they can be listed; the first is the default. */
  choices?: readonly string[]
  /** It may be given more than once, and its values come as a list. */
  repeatable?: true
  /** A value as a person would write it, for the messages. */
  example?: string
  /** What it does, for the manual: whole sentences. */
  help: string
}

/** The options of a command by name, without the dashes. */
export type OptionDescriptions = Readonly<Record<string, OptionDescription>>

/**
 * What was given: a string for an option with a value, a list of them for one that may be given more than once, true for a
 * switch, undefined where it was not given.
 */
export type OptionValues<Options extends OptionDescriptions> = {
  [Name in keyof Options]?: Options[Name] extends { value: string; repeatable: true }
    ? string[]
    : Options[Name] extends { value: string }
      ? string
      : true
}

/** A word of a command that belongs to no option. */
export interface WordDescription {
  /** The words there are, where they can be listed. */
  choices?: readonly string[]
  isOptional?: boolean
  /** What it is, for the manual: whole sentences. */
  help: string
}

/** A command. */
export interface CommandDescription<Options extends OptionDescriptions = OptionDescriptions> {
  name: string
  /** One line for the list of commands. */
  summary: string
  /** The words behind the name, in order; among the values they are under their names. */
  words?: Readonly<Record<string, WordDescription>>
  options: Options
  /** Paragraphs of the manual between usage and options. */
  description: readonly string[]
  /** Titled sections of the manual after the options; each line stands as it is. */
  sections?: readonly { title: string; lines: readonly string[] }[]
}

/** Wrong words on the command line: status 2. The message is one sentence. */
export class UsageError extends UserError {}

/** Every command has it. */
const HELP: OptionDescription = { help: 'Prints this page.' }

/**
 * Understands the words after a command's name.
 * @returns the values, or `'help'` when `--help` or `-h` is among the words
 * @throws UsageError naming the word that is wrong, what it should be, and where the manual is.
 */
export function parseOptions<Options extends OptionDescriptions>(
  command: CommandDescription<Options>,
  line: readonly string[],
): OptionValues<Options> | 'help' {
  const described: OptionDescriptions = { ...command.options, help: HELP }
  const refuse = (text: string) =>
    new UsageError(`typetwo ${command.name}: ${text} ('typetwo ${command.name} --help' lists what there is)`)
  const { tokens } = parseArgs({
    args: [...line],
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: {
      ...Object.fromEntries(
        Object.entries(described).map(([name, option]) => [
          name,
          { type: option.value ? 'string' : 'boolean' } as const,
        ]),
      ),
      help: { type: 'boolean', short: 'h' },
    },
  })
  const values: Record<string, string | string[] | true> = {}
  const words = Object.entries(command.words ?? {})
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      const [name, word] = words.shift() ?? []
      if (name === undefined) throw refuse(`the word '${token.value}' belongs to no option`)
      if (word?.choices && !word.choices.includes(token.value)) {
        throw refuse(`${name.toUpperCase()} is ${alternatives(word.choices)}, not '${token.value}'`)
      }
      values[name] = token.value
      continue
    }
    const option = Object.hasOwn(described, token.name) ? described[token.name] : undefined
    if (option === undefined) {
      const near = nearest(token.name, Object.keys(described))
      throw refuse(`there is no option ${token.rawName}${near ? `; did you mean --${near}?` : ''}`)
    }
    if (option.value === undefined) {
      if (token.value !== undefined) throw refuse(`${token.rawName} takes no value, but has '${token.value}'`)
      values[token.name] = true
      continue
    }
    const forgotten = token.value === undefined || (!token.inlineValue && token.value.startsWith('-'))
    if (forgotten || (token.value === '' && token.name !== 'append')) {
      const example = option.example ?? option.choices?.[0]
      throw refuse(`${token.rawName} needs a value${example ? `, as in --${token.name} ${example}` : ''}`)
    }
    if (option.choices && !option.choices.includes(token.value!)) {
      throw refuse(`--${token.name} is ${alternatives(option.choices)}, not '${token.value}'`)
    }
    if (option.repeatable) values[token.name] = [...((values[token.name] as string[] | undefined) ?? []), token.value!]
    else values[token.name] = token.value!
  }
  const missing = words.find(([, { isOptional }]) => !isOptional)
  if (!values.help && missing) throw refuse(`${missing[0].toUpperCase()} is missing`)
  return values.help ? 'help' : (values as OptionValues<Options>)
}

/** `a, b or c`. */
export function alternatives(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

/** The one of `words` that `word` is likely a misspelling of. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const ranked = words.map(other => ({ other, distance: editDistance(word, other) }))
  ranked.sort((a, b) => a.distance - b.distance)
  const prefix = word.length >= 3 ? words.find(other => other.startsWith(word)) : undefined
  return prefix ?? ranked.find(({ other, distance }) => distance <= Math.min(2, other.length - 1))?.other
}

/** How many letters must be added, removed or changed to get from one word to the other. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const change = row[j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(change, row[j] + 1, next[j - 1] + 1))
    }
    row = next
  }
  return row[to.length]
}

/** The manual page of a command, at most 80 columns wide. */
export function manual(command: CommandDescription): string {
  const words = Object.entries(command.words ?? {})
  const usage = words.map(([name, { isOptional }]) => (isOptional ? `[${name.toUpperCase()}]` : name.toUpperCase()))
  const lines = [
    `typetwo ${command.name}: ${command.summary}`,
    '',
    ['Usage: typetwo', command.name, ...usage, '[OPTION…]'].join(' '),
  ]
  for (const paragraph of command.description) lines.push('', ...wrap(paragraph, 80))
  if (words.length > 0) lines.push('', 'Words:')
  for (const [name, { help }] of words) {
    lines.push(`  ${name.toUpperCase()}`, ...wrap(help, 72).map(line => `      ${line}`))
  }
  lines.push('', 'Options:')
  for (const [name, option] of Object.entries({ ...command.options, help: HELP } as OptionDescriptions)) {
    const value = option.value ? ` ${option.value}` : ''
    lines.push(
      `  ${name === 'help' ? '-h, ' : ''}--${name}${value}`,
      ...wrap(option.help, 72).map(line => `      ${line}`),
    )
  }
  for (const section of command.sections ?? []) {
    lines.push('', `${section.title}:`, ...section.lines.map(line => (line ? `  ${line}` : '')))
  }
  return `${lines.join('\n')}\n`
}

/** Breaks a text into lines of at most `width` characters. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

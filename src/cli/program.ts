/** The program: finds the command, prints manuals, and turns what goes wrong into one sentence and a status. */
import { readFileSync } from 'node:fs'
import { manual, nearest, parseOptions, UsageError, wrap } from './command.ts'
import { COMMANDS, type Command, GROUPS } from './commands.ts'
import { STATUS } from './ending.ts'
import { type CommandHost, print, say } from './host.ts'

/** What JavaScript throws where a program is wrong; every other error that gets here carries a sentence. */
const MISTAKES = [TypeError, ReferenceError, RangeError, SyntaxError]

/**
 * Runs typetwo.
 * @param words the command line behind the program's name
 * @returns the exit status
 */
export async function program(words: readonly string[], host: CommandHost): Promise<number> {
  try {
    return await dispatch(words, host)
  } catch (error) {
    if (error instanceof UsageError) {
      host.stderr.write(`${error.message.startsWith('typetwo ') ? '' : 'typetwo: '}${error.message}\n`)
      return STATUS.usage
    }
    // A TypeError and its like are our own mistakes: those need the place, everything else is a sentence already.
    const isMistake = MISTAKES.some(kind => error instanceof kind)
    say(
      host,
      isMistake
        ? `this is an error in typetwo itself: ${(error as Error).stack}`
        : String((error as Error)?.message ?? error),
    )
    return STATUS.failed
  }
}

async function dispatch([word, ...rest]: readonly string[], host: CommandHost): Promise<number> {
  if (word === undefined) {
    host.stderr.write(overview())
    return STATUS.usage
  }
  if (word === '--version' || word === '-V' || word === 'version') return print(host, `typetwo ${version()}\n`)
  if (word === '--help' || word === '-h' || (word === 'help' && rest.length === 0)) return print(host, overview())
  if (word === 'help') {
    const group = rest.length === 1 ? groupPage(rest[0]) : undefined
    return print(host, group ?? manual(find(rest.join(' ')).description))
  }
  const page = groupPage(word)
  if (page !== undefined && (rest.length === 0 || rest[0] === '--help' || rest[0] === '-h')) {
    if (rest.length > 0) return print(host, page)
    host.stderr.write(page)
    return STATUS.usage
  }
  // A command of a group has a name of two words.
  const { description, run } = find(page === undefined ? word : `${word} ${rest.shift()}`)
  const options = parseOptions(description, rest)
  return options === 'help' ? print(host, manual(description)) : run(options, host)
}

/** The command of that name. */
function find(name: string): Command {
  const found = COMMANDS.find(command => command.description.name === name)
  if (found) return found
  const names = COMMANDS.map(command => command.description.name)
  const near = nearest(name, [...names, 'help'])
  const kind = name.startsWith('-') ? 'option' : 'command'
  const hint = kind === 'option' ? `; options come after a command, as in 'typetwo run ${name}'` : ''
  throw new UsageError(
    `there is no ${kind} ${name}${near ? `; did you mean ${near}?` : hint} ('typetwo --help' lists what there is)`,
  )
}

/** The page of a group of commands, whose names begin with the same word; undefined where there is no such group. */
function groupPage(group: string): string | undefined {
  const members = COMMANDS.filter(({ description: { name } }) => name.startsWith(`${group} `))
  if (members.length === 0) return undefined
  return [
    `typetwo ${group}: ${GROUPS[group]}`,
    '',
    `Usage: typetwo ${group} COMMAND [OPTION…]`,
    '',
    'Commands:',
    ...inColumns(members.map(({ description: { name, summary } }) => [name.slice(group.length + 1), summary])),
    '',
    `'typetwo ${group} COMMAND --help' prints a command's manual.`,
    '',
  ].join('\n')
}

/** Names and what they mean, one to a line. */
function inColumns(rows: readonly (readonly [name: string, summary: string])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return rows.map(([name, summary]) => `  ${name.padEnd(width)}${summary}`)
}

/** The manual page of typetwo as a whole. */
function overview(): string {
  const single = COMMANDS.map(({ description }) => description).filter(({ name }) => !name.includes(' '))
  const groups = Object.entries(GROUPS).map(([name, summary]) => ({ name, summary }))
  const help: [string, string] = ['help', "prints a command's manual, as 'typetwo COMMAND --help' does"]
  const commands = inColumns([
    ...[...single, ...groups].map(({ name, summary }): [string, string] => [name, summary]),
    help,
  ])
  return [
    'typetwo: a type 2 hypervisor in TypeScript',
    '',
    'Usage: typetwo COMMAND [OPTION…]',
    '',
    ...wrap(
      "Runs unmodified PC operating systems inside a Node process, without privileges or anything of the host's kernel.",
      80,
    ),
    '',
    'Commands:',
    ...commands,
    '',
    'Options:',
    '  -h, --help     Prints this page.',
    '  -V, --version  Prints the version.',
    '',
  ].join('\n')
}

function version(): string {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version
}

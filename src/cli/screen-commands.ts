/** The commands that look at a running machine's screen, and use its keyboard and mouse. */
import { writeFile } from 'node:fs/promises'
import { reasonOf, UserError } from '../hosts/node/user-error.ts'
import { UsageError } from './command.ts'
import { ask } from './control.ts'
import { type CommandHost, print } from './host.ts'

/** The words of these commands; the parser has seen that they are there. */
interface Words {
  name?: string
  file?: string
  text?: string
  keys?: string
  x?: string
  y?: string
  action?: string
  layout?: string
}

/** `typetwo screenshot` */
export function screenshot({ name, file }: Words, host: CommandHost): Promise<number> {
  return ask(host, name!, 'screenshot', {}, async result => {
    const { png } = result as { png: string }
    await writeFile(file!, Buffer.from(png, 'base64')).catch(error => {
      throw new UserError(`the picture cannot be written to '${file}' (${reasonOf(error)}): choose another file`)
    })
  })
}

/** `typetwo screen` */
export function screenText({ name }: Words, host: CommandHost): Promise<number> {
  return ask(host, name!, 'screenshot', {}, async result => {
    const { text, width, height } = result as { text?: string; width: number; height: number }
    if (text === undefined)
      throw new UserError(
        `the screen shows a picture of ${width} × ${height} pixels and no text: take it with typetwo screenshot`,
      )
    await print(host, `${text}\n`)
  })
}

/** `typetwo type` */
export function type({ name, text, layout }: Words, host: CommandHost): Promise<number> {
  // As printf has them: a shell's quotes cannot hold a line's end otherwise.
  const escapes: Record<string, string> = { n: '\n', t: '\t', e: '\x1b', '\\': '\\' }
  const plain = text!.replace(/\\([nte\\])/g, (_, letter: string) => escapes[letter])
  return ask(host, name!, 'type', { text: plain, layout })
}

/** `typetwo send-keys` */
export function sendKeys({ name, keys }: Words, host: CommandHost): Promise<number> {
  return ask(host, name!, 'send-keys', { keys })
}

/** `typetwo mouse` */
export function mouse({ name, x, y, action }: Words, host: CommandHost): Promise<number> {
  const number = (word: string, what: string) => {
    if (/^\d{1,5}$/.test(word)) return Number(word)
    throw new UsageError(`${what} is a number of pixels, not '${word}'`)
  }
  return ask(host, name!, 'mouse', { x: number(x!, 'X'), y: number(y!, 'Y'), action })
}

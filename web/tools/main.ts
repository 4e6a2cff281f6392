/** `npm run web`: serves the page in which machines run, or writes it into a folder. */
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeFolder } from '../../src/hosts/node/files.ts'
import { UserError } from '../../src/hosts/node/index.ts'
import { reasonOf } from '../../src/hosts/node/user-error.ts'
import type { Site } from './bundle.ts'
import { HEADERS, serveSite } from './server.ts'
import { GUEST_FOLDERS, pageSite } from './site.ts'

const PORT = 8086

const HELP = `npm run web -- [options]

Serves the page in which machines run, in the tab itself: open the URL that is printed.

  --port N       the port, ${PORT} by default; 0 for any that is free
  --host NAME    the address to listen at, 127.0.0.1 by default. From other computers browsers run machines by https
                 only: put a server that speaks it in front
  --build DIR    writes the page into a folder instead, for any server of static files. One that can send headers
                 should send those of the file _headers; for others the page gets along by a service worker
  --help         prints this page

What its guests start from, Debian's kernel and SeaBIOS, is got from Debian's packages when it is first needed and kept
in the user's cache.
`

const say = (text: string) => console.error(`typetwo: ${text}`)

function options() {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string', default: String(PORT) },
        host: { type: 'string', default: '127.0.0.1' },
        build: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
    const port = Number(values.port)
    if (!/^\d+$/.test(values.port) || port > 65535)
      throw new UserError(`--port ${values.port}: give a number from 0 to 65535`)
    return { ...values, port }
  } catch (error) {
    if (error instanceof UserError) throw error
    throw new UserError(`${(error as Error).message.split('. ')[0]}; see npm run web -- --help`)
  }
}

async function write(folder: string, site: Site): Promise<void> {
  for (const [name, bytes] of site) {
    const path = join(folder, name)
    try {
      await makeFolder(dirname(path))
      await writeFile(path, bytes)
    } catch (error) {
      throw new UserError(`'${path}' cannot be written: ${reasonOf(error)}`)
    }
  }
}

/** The headers as hosts of static sites read them. */
function headersFile(): Uint8Array {
  const lines = Object.entries(HEADERS).map(([name, value]) => `  ${name}: ${value}\n`)
  return new TextEncoder().encode(`/*\n${lines.join('')}`)
}

async function build(folder: string): Promise<void> {
  const headers = ['_headers', headersFile()] as const
  // Where nothing can be written, nothing is made or downloaded.
  await write(folder, new Map([headers]))
  const site = await pageSite()
  site.set(...headers)
  for (const make of Object.values(GUEST_FOLDERS)) for (const [name, bytes] of await make(say)) site.set(name, bytes)
  await write(folder, site)
  let total = 0
  for (const bytes of site.values()) total += bytes.length
  say(`${site.size} files, ${(total / 1e6).toFixed(1)} MB, are in ${folder}`)
}

/** A file of the page, or of a folder that is made when it is first asked for; what could not be had is tried again. */
function finder(page: Promise<Site>) {
  const folders = new Map<string, Promise<Site>>()
  return async (path: string): Promise<Uint8Array | undefined> => {
    const folder = path.split('/')[0]
    const make = GUEST_FOLDERS[folder]
    if (!make || !path.includes('/')) return (await page).get(path)
    let files = folders.get(folder)
    if (!files) {
      folders.set(folder, (files = make(say)))
      files.catch(error => {
        folders.delete(folder)
        say(error.message)
      })
    }
    return (await files).get(path)
  }
}

async function main(): Promise<void> {
  const { help, build: folder, host, port } = options()
  if (help) {
    console.log(HELP)
    return
  }
  if (folder !== undefined) return build(folder)
  const page = pageSite()
  // A port that cannot be had is the first thing to say.
  page.catch(() => {})
  const server = await serveSite(finder(page), { host, port })
  await page.catch(async error => {
    await server.close()
    throw error
  })
  console.log(server.url)
  say('Ctrl-C ends it')
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.close())
}

main().catch(error => {
  say(error instanceof UserError ? error.message : String(error.stack ?? error))
  process.exitCode = 1
})

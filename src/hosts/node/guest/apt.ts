/**
 * Debian packages by the host's own apt, with a state of its own in a folder of ours: neither root nor an earlier
 * `apt-get update` is needed, and the host's state is not touched. The host's sources, keys and proxy are used, and apt
 * checks signatures and hashes. See apt.conf(5).
 */
import { spawn } from 'node:child_process'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf, UserError } from '../user-error.ts'

/** Hears what is being done, and how far it is: 0 to 1, or undefined where nobody knows. */
export type Report = (text: string, fraction?: number) => void

/** Debian's names of the architectures a guest may have. */
export type GuestArchitecture = 'amd64' | 'i386'

/** What to do when no packages can be had; the end of every sentence about it. */
export const INSTEAD = 'give a kernel and an initrd of your own with --kernel FILE --initrd FILE'

/**
 * Read after the host's configuration. The hooks of the host (which clean its caches) are not ours to run, and of each
 * source only the list of packages is of use.
 */
const CONFIGURATION = `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets;
Acquire::IndexTargets::deb::Packages {
  MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages";
  flatMetaKey "Packages";
  ShortDescription "Packages";
  Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages";
  flatDescription "$(RELEASE) Packages";
  Optional "0";
};
`

/** One run of a program. */
interface Outcome {
  status: number | null
  output: string
  errors: string
}

/** Apt with a private state. */
export class PrivateApt {
  readonly #folder: string
  readonly #options: string[]
  /** What `apt-get update` complained of; the likely reason when a package is not found. */
  #complaint: string | undefined

  readonly #instead: string

  private constructor(folder: string, architecture: GuestArchitecture, instead: string) {
    this.#folder = folder
    this.#instead = instead
    const settings = {
      'Dir::State': folder,
      'Dir::State::Lists': join(folder, 'lists'),
      'Dir::State::status': join(folder, 'status'),
      'Dir::Cache': join(folder, 'cache'),
      'Dir::Log': join(folder, 'log'),
      'APT::Architecture': architecture,
      'APT::Architectures': architecture,
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '2',
      'Debug::NoLocking': '1',
    }
    this.#options = ['-q', '-c', join(folder, 'apt.conf')]
    for (const [name, value] of Object.entries(settings)) this.#options.push('-o', `${name}=${value}`)
  }

  /**
   * Makes the private state and gets the lists of packages.
   * @param folder an existing folder of the caller's; the caller removes it
   * @param instead what a user can do who gets no packages, for the end of every sentence about it
   * @throws UserError when there is no apt.
   */
  static async open(
    folder: string,
    architecture: GuestArchitecture,
    report: Report,
    instead = INSTEAD,
  ): Promise<PrivateApt> {
    const apt = new PrivateApt(folder, architecture, instead)
    for (const needed of ['lists/partial', 'cache/archives/partial', 'log']) {
      await mkdir(join(folder, needed), { recursive: true })
    }
    await writeFile(join(folder, 'status'), '')
    await writeFile(join(folder, 'apt.conf'), CONFIGURATION)
    const text = "Reading Debian's lists of packages"
    report(text)
    const update = await apt.#run('apt-get', ['update'], fraction => report(text, fraction))
    apt.#complaint = complaintOf(update)
    return apt
  }

  /**
   * The package that a metapackage stands for: the one it depends on whose name matches.
   * @throws UserError when apt knows no such package.
   */
  async resolve(metapackage: string, pattern: RegExp): Promise<string> {
    const shown = await this.#run('apt-cache', ['show', '--no-all-versions', metapackage])
    const depends = /^Depends: (.*)$/m.exec(shown.output)?.[1] ?? ''
    const name = depends
      .split(/[,|]/)
      .map(word => word.trim().split(/[ (:]/)[0])
      .find(word => pattern.test(word))
    if (shown.status === 0 && name !== undefined) return name
    const reason = this.#complaint ?? complaintOf(shown) ?? 'its sources do not have it'
    throw new UserError(
      `apt cannot get Debian's package ${metapackage} (${reason}): look at the network and /etc/apt, or ${this.#instead}`,
    )
  }

  /** The packages that every Debian system has. */
  async required(): Promise<string[]> {
    const { output } = await this.#run('apt-cache', ['dumpavail'])
    const names = output
      .split('\n\n')
      .filter(entry => /^(Priority: required|Essential: yes)$/m.test(entry))
      .map(entry => /^Package: (.*)$/m.exec(entry)?.[1])
    return [...new Set(names)].filter(name => name !== undefined)
  }

  /**
   * Packages and all that they depend on, as apt would install them on an empty system, without recommendations.
   * @throws UserError when apt knows no such packages.
   */
  async closure(names: readonly string[]): Promise<string[]> {
    const simulated = await this.#run('apt-get', ['--simulate', '--no-install-recommends', 'install', ...names])
    const found = [...simulated.output.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name)
    if (simulated.status === 0 && found.length > 0) return found
    const reason = this.#complaint ?? complaintOf(simulated) ?? 'its sources do not have them'
    throw new UserError(
      `apt cannot get Debian's packages ${names.join(', ')} (${reason}): look at the network and /etc/apt, or ${this.#instead}`,
    )
  }

  /**
   * Downloads packages.
   * @returns the path of each .deb, in the order of the names
   * @throws UserError when one cannot be had; apt has checked the hashes of those that can.
   */
  async download(names: readonly string[], report: Report): Promise<string[]> {
    const folder = join(this.#folder, 'packages')
    await mkdir(folder)
    const text = `Downloading ${names.join(' and ')}`
    report(text)
    const run = await this.#run('apt-get', ['download', ...names], fraction => report(text, fraction), folder)
    const files = await readdir(folder)
    return names.map(name => {
      const file = files.find(file => file.startsWith(`${name}_`) && file.endsWith('.deb'))
      if (run.status === 0 && file !== undefined) return join(folder, file)
      const reason = complaintOf(run) ?? this.#complaint ?? `apt-get ended with status ${run.status}`
      throw new UserError(
        `apt cannot download Debian's package ${name} (${reason}): look at the network, or ${this.#instead}`,
      )
    })
  }

  /** Runs one of apt's programs; `progress` hears what it writes to its status descriptor. */
  #run(program: string, words: string[], progress?: (fraction: number) => void, cwd = this.#folder): Promise<Outcome> {
    const options = progress ? [...this.#options, '-o', 'APT::Status-Fd=3'] : this.#options
    return run(program, [...options, ...words], { cwd, instead: this.#instead }, line => {
      const percent = /^dlstatus:[^:]*:([\d.]+):/.exec(line)?.[1]
      if (percent !== undefined) progress?.(Math.min(1, Number(percent) / 100))
    })
  }
}

/** The unpacked files of a package, as a tar stream. Fails with a UserError when the package is damaged. */
export async function* packageTar(deb: string): AsyncGenerator<Uint8Array> {
  const child = spawn('dpkg-deb', ['--fsys-tarfile', deb], { stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    errors += text
  })
  const ended = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  ended.catch(() => {})
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>
    const status = await ended
    if (status !== 0) throw new Error(errors.trim() || `dpkg-deb ended with status ${status}`)
  } catch (error) {
    throw new UserError(`the package ${deb} cannot be unpacked (${reasonOf(error)}): start again to get it anew`)
  } finally {
    child.kill()
  }
}

/** The first complaint in what apt said: an error rather than a warning. */
function complaintOf({ errors }: Outcome): string | undefined {
  const lines = errors.split('\n').map(line => line.trim())
  const line = lines.find(line => line.startsWith('E: ')) ?? lines.find(line => line.startsWith('W: '))
  return line?.slice(3).replace(/\.$/, '')
}

/** Runs a program to its end and collects what it says, in English; lines of descriptor 3 go to `onStatus`. */
function run(
  program: string,
  words: string[],
  { cwd, instead }: { cwd: string; instead: string },
  onStatus: (line: string) => void,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const environment = { ...process.env, LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' }
    const child = spawn(program, words, { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
    const outcome: Outcome = { status: null, output: '', errors: '' }
    child.stdout!.setEncoding('utf8').on('data', text => {
      outcome.output += text
    })
    child.stderr!.setEncoding('utf8').on('data', text => {
      outcome.errors += text
    })
    let partial = ''
    const status = child.stdio[3] as NodeJS.ReadableStream
    status.setEncoding('utf8').on('data', text => {
      const lines = (partial + text).split('\n')
      partial = lines.pop()!
      lines.forEach(onStatus)
    })
    child.on('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'ENOENT' ? `this host has no ${program}` : reasonOf(error)
      reject(new UserError(`what is missing comes from Debian's packages by apt, and ${reason}: ${instead}`))
    })
    child.on('close', code => resolve({ ...outcome, status: code }))
  })
}

/** `typetwo run`: a machine in this terminal. */
import { readWhole, terminalWords, UserError } from '../hosts/node/index.ts'
import type { Stats, TranslatedCode } from '../index.ts'
import { isElf } from '../machine/boot/elf.ts'
import { parseBoot } from './boot-option.ts'
import { CodeDump } from './code-dump.ts'
import { type OptionValues, UsageError } from './command.ts'
import { displayChoices } from './display-options.ts'
import { Displays } from './displays.ts'
import { parseCdrom, parseDisk, parseFloppy } from './drive-options.ts'
import { type Ending, endingOf, STATUS } from './ending.ts'
import { part, SIGNALS, watchForEnd } from './ending-watch.ts'
import { type CommandHost, type MachineRequest, print, type RunningMachine, say } from './host.ts'
import { parseModules } from './module-options.ts'
import { PanicWatch } from './panic.ts'
import { formatProfile } from './profile-report.ts'
import { Progress } from './progress.ts'
import type { RUN } from './run-options.ts'
import { factsOf, Running } from './running.ts'
import { type PortChoice, parsePort, serialChoices } from './serial-options.ts'
import { SerialPorts } from './serial-ports.ts'
import { parseMemory } from './size.ts'
import { parseSound } from './sound-options.ts'
import { SoundRecorder } from './sound-recorder.ts'
import { formatStatistics } from './statistics.ts'
import { Output, pumpPiped, pumpTyped } from './streams.ts'
import { elfSymbols, parseSymbols, SymbolTable } from './symbols.ts'
import { Terminal } from './terminal.ts'
import { readVideoBios } from './video-bios.ts'

/** What was given to `typetwo run`. */
export type RunOptions = OptionValues<typeof RUN.options>

/** How long output that is on its way may still take when typetwo is told to end: milliseconds. */
const PARTING = 500

/** Milliseconds between two looks at what the machine does, for `--stats`: each costs some 30 µs, of which a shared CPU should not feel more than 2 %. */
const SAMPLE = 2

/**
 * Runs a machine until it ends.
 * @returns the exit status
 * @throws UserError, or the library's Error with one sentence, when it cannot be started; the terminal is intact then.
 */
export async function run(options: RunOptions, host: CommandHost): Promise<number> {
  const terminal = new Terminal(host)
  // From the first byte on, so that a reader who leaves early is never an uncaught error.
  const output = new Output(host.stdout)
  host.stderr.on('error', () => {})
  const { ending, end } = watchForEnd(host, output)
  const background = host.control.background !== undefined
  const shown = displayChoices(options.display)
  const inTerminal = shown.some(({ kind }) => kind === 'terminal')
  const fallback: PortChoice = { kind: background || inTerminal ? 'none' : 'stdio' }
  const choices = [...serialChoices(options.serial, fallback), parsePort('parallel', options.parallel ?? 'none')]
  if (inTerminal && choices.some(({ kind }) => kind === 'stdio'))
    throw new UsageError('--serial stdio and --display terminal want the same terminal: leave one of them out')
  if (options.detach) {
    if (inTerminal)
      throw new UsageError('--display terminal is this terminal, which --detach leaves: leave one of them out')
    if (choices.some(({ kind }) => kind === 'stdio') && options.serial?.includes('stdio'))
      throw new UsageError('--serial stdio is this terminal, which --detach leaves: choose another place')
    if (!background) return detach(options, host)
  }
  const sound = parseSound(options.sound)
  const off = () => end({ status: STATUS.ok, sentence: "turned off by 'typetwo power'" })
  const running = await Running.open(options.name, host, off)
  let ports: SerialPorts | undefined
  let displays: Displays | undefined
  let recorder: SoundRecorder | undefined
  try {
    recorder = await SoundRecorder.open(sound, host)
    ports = await SerialPorts.open(choices, host, background)
    displays = await Displays.open(shown, host)
    const prepared = await Promise.race([prepare(options, host, ports.terminal === 0 ? terminal : undefined), ending])
    if ('status' in prepared) return part(prepared, host)
    const { symbols, dump, ...request } = prepared
    const created = host.createMachine(request).catch(error => {
      throw withFile(error, options)
    })
    const machine = await Promise.race([created, ending])
    if ('status' in machine) return part(machine, host)
    running.facts = factsOf(options, request)
    await recorder?.record(machine)
    const outside = { host, terminal, output, running, ports, displays, ending }
    return await converse(machine, options, { ...outside, symbols, dump })
  } finally {
    await recorder?.close()
    await displays?.close()
    await ports?.close()
    await running.close()
  }
}

/** Has it run in the background, and prints its name. */
async function detach(options: RunOptions, host: CommandHost): Promise<number> {
  const started = await host.control.startInBackground(options.name)
  return 'name' in started ? print(host, `${started.name}\n`) : started.status
}

/** A machine's request, and what a report at its end needs. */
type Prepared = MachineRequest & { symbols?: SymbolTable; dump?: CodeDump }

/**
 * Reads everything that the machine is made of.
 * @param terminal what COM1 leads to; undefined where it leads elsewhere
 */
async function prepare(options: RunOptions, host: CommandHost, terminal: Terminal | undefined): Promise<Prepared> {
  const memory = parseMemory(options.memory ?? '256M', host.availableMemory())
  const rest = {
    memory,
    engine: (options.engine ?? 'auto') as MachineRequest['engine'],
    clock: (options.clock ?? 'host') as MachineRequest['clock'],
    reboot: !options['no-reboot'],
    ...(options.disk && { disks: options.disk.map(parseDisk) }),
    ...(options.cdrom && { cdroms: options.cdrom.map(parseCdrom) }),
    ...(options.floppy && { floppies: options.floppy.map(parseFloppy) }),
    ...(options.machine !== undefined && { machine: options.machine as MachineRequest['machine'] }),
    ...(options.watchdog !== undefined && { watchdog: options.watchdog as MachineRequest['watchdog'] }),
    ...(options.cpu !== undefined && { cpu: options.cpu as MachineRequest['cpu'] }),
    ...(displayChoices(options.display).length > 0 && { display: true }),
    ...(options.sound !== undefined && { sound: parseSound(options.sound)?.devices ?? false }),
    ...(options.vga !== undefined && { vga: options.vga as MachineRequest['vga'] }),
    ...(options['dump-code'] !== undefined && { listCode: true }),
    symbols:
      options.symbols === undefined
        ? undefined
        : parseSymbols(await readWhole(options.symbols, 'the file of symbols'), `--symbols ${options.symbols}`),
  }
  const dump = options['dump-code'] === undefined ? undefined : await CodeDump.create(options['dump-code'])
  const kernel = options.kernel === undefined ? undefined : await readFile(options.kernel, 'the kernel')
  const takesModules =
    kernel !== undefined && !isBzImage(kernel.bytes) && options.bios === undefined && options.uefi === undefined
  const own = { kernel, ...(await readInitrd(options.initrd, takesModules)) }
  const boot = options.boot === undefined ? undefined : parseBoot(options.boot)
  if (own.kernel && boot && options.bios === undefined && options.uefi === undefined)
    throw new UserError('--boot is for firmware, and a kernel is loaded without: leave out --boot or --kernel')
  const { firmware, variables } = await readFirmware(options, host)
  const shown = displayChoices(options.display).length > 0 || (options.vga !== undefined && options.vga !== 'none')
  const videoBios = firmware || shown ? await readVideoBios(options, host, firmware !== undefined) : undefined
  if (firmware && !own.kernel) {
    for (const name of ['initrd', 'append'] as const)
      if (options[name] !== undefined)
        throw new UserError(
          `--${name} is for a kernel, and firmware boots a disk: give --kernel, or leave out --${name}`,
        )
    return { ...rest, dump, boot, firmware: rereadable(firmware), videoBios, variables, commandLine: '' }
  }
  if (own.kernel) {
    if (options.stats || dump) rest.symbols ??= ownSymbols(own.kernel.bytes)
    const consoles = shown ? 'console=ttyS0 console=tty0' : 'console=ttyS0'
    const commandLine = options.append ?? (isBzImage(own.kernel.bytes) ? consoles : '')
    return {
      ...rest,
      dump,
      boot,
      firmware: firmware && rereadable(firmware),
      ...(videoBios && { videoBios }),
      variables,
      kernel: rereadable(own.kernel),
      initrd: own.initrd && rereadable(own.initrd),
      ...(own.modules && { modules: own.modules.map(({ text, file }) => ({ text, image: rereadable(file) })) }),
      commandLine,
    }
  }
  const progress = new Progress(host.stderr)
  try {
    const guest = await host.defaultGuest((text, fraction) => progress.show(text, fraction))
    // Whoever connects to COM1 otherwise is taken for a person.
    const { typed, size } = terminal ?? { typed: true }
    const words = [guest.append, ...terminalWords({ typed, size, kind: typed ? host.environment.TERM : 'dumb' })]
    if (options.append) words.push(options.append)
    // The screen gets the kernel's messages too.
    if (shown) words.unshift('console=tty0')
    return {
      ...rest,
      ...(videoBios && { videoBios }),
      // Only the default guest's own process 1 says when it listens.
      holdInput: !typed && !own.initrd && !/(^|\s)(rd)?init=/.test(options.append ?? ''),
      dump,
      kernel: rereadable(await readFile(guest.kernel, "the default guest's kernel")),
      initrd: rereadable(own.initrd ?? (await readFile(guest.initrd, "the default guest's initrd"))),
      commandLine: words.join(' '),
    }
  } finally {
    progress.done()
  }
}

/** There are drives, and no kernel that would have them: firmware looks for a system there. */
function bootsDrives({ disk, cdrom, floppy, kernel, initrd, append }: RunOptions): boolean {
  const drives = disk !== undefined || cdrom !== undefined || floppy !== undefined
  return drives && kernel === undefined && initrd === undefined && append === undefined
}

/** The firmware that the options ask for, and where it keeps its variables. */
async function readFirmware(
  options: RunOptions,
  host: CommandHost,
): Promise<{ firmware?: ReadFile; variables?: MachineRequest['variables'] }> {
  const { bios, boot, uefi } = options
  if (bios === undefined && boot === undefined && uefi === undefined && !bootsDrives(options)) return {}
  const progress = new Progress(host.stderr)
  const report = (text: string, fraction?: number) => progress.show(text, fraction)
  try {
    if (uefi === undefined) {
      const path = bios === undefined || bios === 'seabios' ? (await host.firmware('seabios', report))[0] : bios
      return { firmware: await readFile(path, 'the firmware') }
    }
    const [code, template] = await host.firmware('ovmf', report)
    const firmware = await readFile(bios ?? code, 'the firmware')
    return { firmware, variables: await host.variables(uefi, template) }
  } finally {
    progress.done()
  }
}

/** The symbols of a kernel that is an ELF file and has some. */
function ownSymbols(kernel: Uint8Array): SymbolTable | undefined {
  const found = isElf(kernel) ? elfSymbols(kernel) : []
  return found.length > 0 ? new SymbolTable(found) : undefined
}

/** A file that was read, and how to read it again. */
interface ReadFile {
  bytes: Uint8Array
  again: () => Promise<Uint8Array>
}

async function readFile(path: string, what: string): Promise<ReadFile> {
  const again = () => readWhole(path, what)
  return { bytes: await again(), again }
}

/**
 * Reads what `--initrd` names: one file, or modules with what they are to be told.
 * @param takesModules the kernel is not one of Linux's, whose initrd may have any name
 */
async function readInitrd(
  text: string | undefined,
  takesModules: boolean,
): Promise<{ initrd?: ReadFile; modules?: { text: string; file: ReadFile }[] }> {
  if (text === undefined) return {}
  if (!takesModules || !/[, ]/.test(text)) return { initrd: await readFile(text, 'the initrd') }
  const modules = []
  for (const { path, text: words } of parseModules(text))
    modules.push({ text: words, file: await readFile(path, 'the module') })
  return { modules }
}

/** Gives what was read once; after that, should the guest start again, the file is read again instead of being kept. */
function rereadable({ bytes, again }: ReadFile): () => Promise<Uint8Array> {
  let first: Uint8Array | undefined = bytes
  return async () => {
    const given = first ?? (await again())
    first = undefined
    return given
  }
}

/** A sentence of the machine's about the kernel or the initrd names the file, where the user gave one. */
function withFile(error: unknown, options: RunOptions): unknown {
  if (!(error instanceof Error) || error.name !== 'MachineError') return error
  const [, subject] = /^the (?:ELF |multiboot )?(kernel|initrd|firmware)\b/.exec(error.message) ?? []
  const option = subject === 'firmware' ? 'bios' : (subject as 'kernel' | 'initrd' | undefined)
  const path = option && options[option]
  return path === undefined ? error : new UserError(`--${option} ${path}: ${error.message}`)
}

/** Whether it is a Linux bzImage: the magic number of the setup header, Documentation/arch/x86/boot.rst. */
function isBzImage(kernel: Uint8Array): boolean {
  return Buffer.from(kernel.subarray(0x202, 0x206)).toString('latin1') === 'HdrS'
}

/** Connects machine and terminal until one of them ends. */
async function converse(
  machine: RunningMachine,
  options: RunOptions,
  {
    host,
    terminal,
    output,
    running,
    ports,
    displays,
    ending,
    symbols,
    dump,
  }: {
    host: CommandHost
    terminal: Terminal
    output: Output
    running: Running
    ports: SerialPorts
    displays: Displays
    ending: Promise<Ending>
    symbols: SymbolTable | undefined
    dump: CodeDump | undefined
  },
): Promise<number> {
  let stats: Stats | undefined
  if (options.verbose) {
    machine.addEventListener('log', event => say(host, String((event as CustomEvent<string>).detail)))
    machine.addEventListener('restart', event =>
      say(host, `the guest starts again (${String((event as CustomEvent<string>).detail)})`),
    )
  }
  machine.addEventListener('diskfull', event => {
    const reason = String((event as CustomEvent<string>).detail)
    say(
      host,
      `the machine is paused, as the guest's data cannot be written: ${reason}; it goes on by itself once they can`,
    )
  })
  machine.addEventListener('diskroom', () => say(host, "the guest's data were written, and the machine goes on"))
  const panic = new PanicWatch()
  if (dump) machine.addEventListener('code', event => dump.add((event as CustomEvent<TranslatedCode>).detail))
  const profiler = options.stats || dump ? machine.profiler() : undefined
  const sampling = profiler && setInterval(() => profiler.sample(), SAMPLE)
  try {
    ports.connect(machine, bytes => panic.watch(bytes))
    running.ports = ports.ports
    running.machine = machine
    const shown = ports.ended()
    shown.catch(() => {})
    const quit = Promise.withResolvers<Ending>()
    displays.show(machine, running.name ?? 'typetwo', ports.ports, () =>
      quit.resolve({ status: STATUS.ok, sentence: 'turned off' }),
    )
    const listener = {
      quit: () => quit.resolve({ status: STATUS.ok }),
      hangup: () => quit.resolve({ status: STATUS.signal + SIGNALS.SIGHUP, sentence: 'the terminal is gone' }),
      note: (sentence: string) => say(host, sentence),
    }
    if (ports.terminal !== undefined) {
      terminal.take()
      const plug = ports.attachTerminal(bytes => {
        terminal.watch(bytes)
        return output.write(bytes)
      })!
      if (terminal.typed) pumpTyped(host.stdin, plug, listener)
      else pumpPiped(host.stdin, plug, listener)
    }
    displays.left.then(how => listener[how]())
    if (ports.terminal === 0) {
      terminal.onResize((columns, rows) => void machine.resizeConsole(columns, rows).catch(() => {}))
      if (terminal.size) machine.resizeConsole(terminal.size.columns, terminal.size.rows).catch(() => {})
    }
    running.announce(host)
    await machine.start()
    if (running.name !== undefined) host.control.background?.(running.name)

    const over: Promise<Ending> = machine.stopped.then(async end => {
      stats = end.stats ?? stats
      // A slow reader gets all that the guest wrote, unless someone says that it is enough.
      await shown
      // Whoever had it destroyed knows why.
      return end.reason === 'destroyed' ? told : endingOf(end, panic.message)
    })
    const told: Promise<Ending> = Promise.race([quit.promise, ending]).then(async told => {
      if (options.stats && !stats) stats = await withDeadline(machine.stats()).catch(() => undefined)
      await withDeadline(machine.keepCode()).catch(() => {})
      await machine.destroy().catch(() => {})
      await withDeadline(shown).catch(() => {})
      return told
    })
    const last = await Promise.race([over, told])
    await displays.close()
    terminal.restore()
    clearInterval(sampling)
    await dump?.finish(profiler?.profile(), symbols)
    if (options.stats && stats) {
      host.stderr.write(formatStatistics(stats))
      if (profiler) host.stderr.write(formatProfile(profiler.profile(), stats.activities, symbols))
    }
    return part(last, host)
  } finally {
    clearInterval(sampling)
    terminal.restore()
    machine.destroy().catch(() => {})
  }
}

/** Waits for what may never come, but only so long. */
function withDeadline<T>(promise: Promise<T>): Promise<T> {
  const { promise: deadline, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new UserError('it took too long')), PARTING)
  return Promise.race([promise, deadline]).finally(() => clearTimeout(timer))
}

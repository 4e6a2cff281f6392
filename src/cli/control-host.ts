/** Running machines as commands find and make them: the real ones, and in tests others. */
import type { ControlClient } from '../control/client.ts'
import type { ListedMachine } from '../hosts/node/control-client.ts'
import type { ControlServer, ControlServerOptions } from '../hosts/node/control-server.ts'
import type { Environment } from '../hosts/node/machine-folder.ts'

/** What a command can do about running machines. */
export interface ControlHost {
  /** What this process has used: seconds of CPU time, bytes of memory that it has from the system. */
  usage(): { pid: number; cpuSeconds: number; residentBytes: number }
  /** Gives a machine of this process its name, and lets commands reach it. @throws UserError */
  open(options: Omit<ControlServerOptions, 'environment'>): Promise<ControlServer>
  /** A connection to a running machine. @throws UserError where there is none, or it does not answer */
  connect(name: string): Promise<ControlClient>
  /** All running machines. */
  list(): Promise<ListedMachine[]>
  /** Resolves when a process has ended, at the latest after some seconds. */
  processEnd(pid: number): Promise<void>
  /**
   * Runs this command line once more, in the background.
   * @param name the name of its machine, undefined for a made-up one
   * @returns the name, when the machine runs there; or the exit status when it does not, after its messages were shown
   */
  startInBackground(name: string | undefined): Promise<{ name: string } | { status: number }>
  /** Where this process is one in the background: tells who started it that the machine runs. */
  readonly background: ((name: string) => void) | undefined
}

/** Whether a process was started by {@link ControlHost.startInBackground}. */
export function isBackground(environment: Environment): boolean {
  return environment.TYPETWO_BACKGROUND === '1'
}

/** How long a process that was asked to end is waited for, and how often it is looked at: milliseconds. */
const END_DEADLINE = 10_000
const END_POLL = 20

/** The real ones. What is needed is loaded when it is. */
export function nodeControl(environment: Environment): ControlHost {
  // Whoever waits for a machine in the background and is interrupted does not want it any more.
  const abandoned = () => process.kill(process.pid, 'SIGTERM')
  if (isBackground(environment)) process.once('disconnect', abandoned)
  return {
    usage() {
      const { user, system } = process.cpuUsage()
      return { pid: process.pid, cpuSeconds: (user + system) / 1e6, residentBytes: process.memoryUsage.rss() }
    },
    open: async options => (await import('../hosts/node/control-server.ts')).openControl({ ...options, environment }),
    connect: async name => (await import('../hosts/node/control-client.ts')).connectMachine(name, { environment }),
    list: async () => (await import('../hosts/node/control-client.ts')).listMachines({ environment }),
    async processEnd(pid) {
      const deadline = performance.now() + END_DEADLINE
      while (isAlive(pid) && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, END_POLL))
    },
    startInBackground: async name => (await import('./background.ts')).startInBackground(name, environment),
    background: isBackground(environment)
      ? name => {
          process.off('disconnect', abandoned)
          process.send?.({ name }, () => process.disconnect?.())
        }
      : undefined,
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** The control socket of a machine that runs in this process. */
import { createServer, type Server, type Socket } from 'node:net'
import type { ControlCommand, ControlTarget } from '../../control/command.ts'
import {
  checkMachineName,
  type Environment,
  machineFolders,
  machineSocket,
  makeMachineFolder,
} from './machine-folder.ts'
import { makeUpName } from './machine-names.ts'
import { listenerAt, listenUnix } from './unix-socket.ts'
import { UserError } from './user-error.ts'

/** Connections at the same time; further ones are closed. */
const MOST_CONNECTIONS = 64
/** How often a name is made up before we give up. */
const ATTEMPTS = 20
/** How long answers that are on their way may take when the machine has ended: milliseconds. */
const PARTING = 500

/** A machine's place among the running ones. */
export interface ControlServer {
  readonly name: string
  /** Takes the machine out of them: its socket goes, and connections end. */
  close(): Promise<void>
}

/** What {@link openControl} is told. */
export interface ControlServerOptions {
  /** Default: one is made up. */
  name?: string
  /** Gives what commands act on. */
  target(name: string): ControlTarget
  environment?: Environment
  /** Default: all there are. */
  commands?: Readonly<Record<string, ControlCommand>>
}

/** Serves a connection. Most machines are never asked for anything: what that needs is loaded when one is. */
async function serve(socket: Socket, target: ControlTarget, commands: ControlServerOptions['commands']): Promise<void> {
  const [{ CONTROL_COMMANDS }, { serveControl }, { socketStreams }] = await Promise.all([
    import('../../control/commands.ts'),
    import('../../control/serve.ts'),
    import('./socket-streams.ts'),
  ])
  await serveControl(socketStreams(socket), target, { commands: commands ?? CONTROL_COMMANDS })
}

/**
 * Gives a machine its name, and listens for commands.
 * @throws UserError where the name is no name or in use, or the folder of running machines cannot be used
 */
export async function openControl(options: ControlServerOptions): Promise<ControlServer> {
  const { environment = process.env, target } = options
  if (options.name !== undefined) checkMachineName(options.name)
  const folder = await makeMachineFolder(environment)
  const sockets = new Set<Socket>()
  let served: ControlTarget | undefined
  const accept = (socket: Socket) => {
    socket.on('error', () => {})
    if (sockets.size >= MOST_CONNECTIONS) {
      socket.destroy()
      return
    }
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    void serve(socket, served!, options.commands)
  }
  let server: Server
  /** Removes the socket; undefined where the name is in use. */
  const claim = async (name: string): Promise<(() => void) | undefined> => {
    for (const other of machineFolders(environment).filter(other => other !== folder))
      if ((await listenerAt(machineSocket(other, name))) === 'somebody') return undefined
    served = target(name)
    server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, accept)
    return listenUnix(server, machineSocket(folder, name))
  }
  let { name } = options
  let remove: (() => void) | undefined
  if (name !== undefined) {
    remove = await claim(name)
    if (!remove)
      throw new UserError(
        `a machine '${name}' runs already: give another name, or 'typetwo console ${name}' to attach to it`,
      )
  } else {
    let attempt = 0
    do {
      if (attempt++ === ATTEMPTS) throw new UserError('no free name was found for the machine: give one with --name')
      name = makeUpName()
      remove = await claim(name)
    } while (!remove)
  }
  // Whoever has a connection does not keep the process.
  server!.unref()
  server!.on('error', () => {})
  process.on('exit', remove)
  return {
    name,
    async close() {
      process.off('exit', remove)
      remove()
      server.close()
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, PARTING)
      await Promise.all(
        [...sockets].map(
          socket =>
            new Promise<void>(resolve => {
              socket.once('close', () => resolve())
              socket.end(() => socket.destroySoon())
            }),
        ),
      )
      clearTimeout(timer)
    },
  }
}

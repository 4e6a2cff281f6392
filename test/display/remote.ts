/** A viewer that changes the size of its window. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { ENCODING, SIZE_STATUS } from '../../src/display/rfb/protocol.ts'
import { TestViewer } from '../../src/display/rfb/test-viewer.ts'
import { SocketConnection } from '../../src/hosts/node/display/socket-connection.ts'

/** How long an answer may take on a busy host: milliseconds. */
const PATIENCE = 120_000

/** Asks for a screen of so many pixels by RFB's SetDesktopSize, and goes. @throws Error where the server does not tell the guest */
export async function preferSize(host: string, port: number, width: number, height: number): Promise<void> {
  const socket = connect(port, host)
  await once(socket, 'connect')
  const timer = setTimeout(() => socket.destroy(), PATIENCE)
  try {
    const viewer = await TestViewer.open(new SocketConnection(socket, host, true))
    await viewer.setEncodings(ENCODING.raw, ENCODING.extendedDesktopSize)
    await viewer.setDesktopSize(width, height)
    while (viewer.sizeAnswer === undefined) {
      await viewer.request(false)
      await viewer.update()
    }
    if (viewer.sizeAnswer !== SIZE_STATUS.forwarded) throw new Error(`the server answers ${viewer.sizeAnswer}`)
  } catch (error) {
    throw socket.destroyed ? new Error(`the server does not answer SetDesktopSize: ${(error as Error).message}`) : error
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

/** A viewer that changes the size of its window. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { ByteWriter } from '../../src/display/rfb/byte-writer.ts'
import { CLIENT_MESSAGE, ENCODING, SIZE_STATUS } from '../../src/display/rfb/protocol.ts'
import { TestViewer } from '../../src/display/rfb/test-viewer.ts'
import { SocketConnection } from '../../src/hosts/node/display/socket-connection.ts'

/** Asks for a screen of so many pixels by RFB's SetDesktopSize, and goes. @throws Error where the server does not tell the guest */
export async function preferSize(host: string, port: number, width: number, height: number): Promise<void> {
  const socket = connect(port, host)
  await once(socket, 'connect')
  const viewer = await TestViewer.open(new SocketConnection(socket, host, true))
  try {
    await viewer.setEncodings(ENCODING.raw, ENCODING.extendedDesktopSize)
    const layout = new ByteWriter().u32(1).u16(0).u16(0).u16(width).u16(height).u32(0)
    const message = new ByteWriter().u8(CLIENT_MESSAGE.setDesktopSize).u8(0).u16(width).u16(height).u8(1).u8(0)
    await viewer.send(message.bytes(layout.take()))
    while (viewer.sizeAnswer === undefined || viewer.sizeAnswer[0] !== 1) {
      await viewer.request(false)
      await viewer.update()
    }
    if (viewer.sizeAnswer[1] !== SIZE_STATUS.forwarded) throw new Error(`the server answers ${viewer.sizeAnswer}`)
  } finally {
    viewer.close()
  }
}

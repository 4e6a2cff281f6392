/** A server of RFB with a machine for tests behind it. */
import { randomBytes } from 'node:crypto'
import { nodeDeflateOnce, nodeDeflater } from '../../hosts/node/display/deflater.ts'
import { encryptDes } from '../../hosts/node/display/vnc.ts'
import { TestInput, TestScreen } from '../test-screen.ts'
import { RfbServer, type RfbServerOptions } from './server.ts'
import { pipe, TestViewer } from './test-viewer.ts'

/** A server, what it serves, what it said, and how to connect. */
export interface TestServer {
  screen: TestScreen
  input: TestInput
  said: string[]
  server: RfbServer
  /** A viewer that has not said anything, and its connection. */
  connect(options?: Parameters<typeof pipe>[0]): ReturnType<typeof pipe> & { done: Promise<void> }
  /** A viewer that sees the screen. */
  view(options?: Parameters<typeof pipe>[0]): Promise<TestViewer>
}

/** Makes one. */
export function testServer(options: Partial<RfbServerOptions> = {}, screen = TestScreen.picture(200, 150)): TestServer {
  const input = new TestInput()
  const said: string[] = []
  const server = new RfbServer({
    screen,
    keyboard: input.keyboard,
    mouse: input.mouse,
    name: 'test',
    encryptDes,
    random: count => randomBytes(count),
    makeDeflater: nodeDeflater,
    deflateOnce: nodeDeflateOnce,
    log: sentence => said.push(sentence),
    firstPictureTime: 10_000,
    ...options,
  })
  const connect = (pipeOptions?: Parameters<typeof pipe>[0]) => {
    const ends = pipe(pipeOptions)
    return { ...ends, done: server.serve(ends.server) }
  }
  return {
    screen,
    input,
    said,
    server,
    connect,
    view: pipeOptions => TestViewer.open(connect(pipeOptions).viewer),
  }
}

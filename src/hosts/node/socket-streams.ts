/** A socket of Node as web streams. */
import type { Socket } from 'node:net'

/** Bytes that are read ahead of whoever takes them. */
const READ_AHEAD = 64 * 1024

/** The socket's two directions, each with its back-pressure. Ending either ends the socket. */
export function socketStreams(socket: Socket): {
  readable: ReadableStream<Uint8Array>
  writable: WritableStream<Uint8Array>
} {
  let over = false
  const readable = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const close = () => {
          if (!over) controller.close()
          over = true
        }
        socket.on('data', (bytes: Buffer) => {
          if (over) return
          controller.enqueue(new Uint8Array(bytes))
          if (controller.desiredSize! <= 0) socket.pause()
        })
        socket.on('end', close)
        socket.on('close', close)
        // A connection that broke has ended, too.
        socket.on('error', close)
      },
      pull() {
        socket.resume()
      },
      cancel() {
        over = true
        socket.destroy()
      },
    },
    { highWaterMark: READ_AHEAD, size: bytes => bytes!.length },
  )
  const writable = new WritableStream<Uint8Array>({
    start(controller) {
      // At once, whatever write is under way: its reader may never take it.
      controller.signal.addEventListener('abort', () => socket.destroy())
    },
    write: bytes =>
      new Promise((resolve, reject) => {
        socket.write(bytes, error => (error ? reject(error) : resolve()))
      }),
    close: () =>
      new Promise(resolve => {
        if (socket.closed) return resolve()
        socket.once('close', () => resolve())
        socket.end(() => socket.destroySoon())
      }),
  })
  return { readable, writable }
}

/** The machine at the other end: what it says, and what it is asked. */
import type { Asked, Told } from '../../src/hosts/node/display/web-control.ts'

/** Milliseconds between attempts to reach it again. */
const RETRY = 1500

/** What a machine says of itself when the page connects. */
export type Description = Extract<Told, { type: 'machine' }>

/** The URL of one of the server's WebSockets, with the page's token. */
export function socketUrl(path: string): string {
  const url = new URL(path, location.href)
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:'
  url.search = location.search
  return url.href
}

/**
 * The machine. Events: `described` (a CustomEvent with a {@link Description}) whenever the page has connected, `state`, `restarted`,
 * `port` (with the name of a serial port that the guest begins to use), `ended` (with the machine's end), `lost` when it cannot be reached; it is tried again then, for as long as the page is open.
 */
export class Remote extends EventTarget {
  description: Description | undefined
  /** Where the machine is in its life, as the library has it. */
  state = 'created'
  /** How it ended. */
  end: Extract<Told, { type: 'ended' }>['end'] | undefined
  #socket: WebSocket | undefined
  #next = 0
  readonly #open = new Map<number, { resolve(answer: Told & { type: 'answer' }): void; reject(error: Error): void }>()

  /** Whether the machine is there. */
  get isConnected(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN && this.end === undefined
  }

  /** Connects, and again when it is lost. */
  connect(): void {
    const socket = new WebSocket(socketUrl('/control'))
    this.#socket = socket
    socket.addEventListener('message', event => this.#told(JSON.parse(event.data)))
    socket.addEventListener('close', () => {
      for (const { reject } of this.#open.values()) reject(new Error('the machine cannot be reached'))
      this.#open.clear()
      this.#socket = undefined
      this.dispatchEvent(new Event('lost'))
      setTimeout(() => this.connect(), RETRY)
    })
  }

  /** Asks for something. @throws Error with the machine's sentence when it cannot be done */
  ask(asked: Asked): Promise<Told & { type: 'answer' }> {
    const socket = this.#socket
    if (socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error('the machine cannot be reached'))
    return new Promise((resolve, reject) => {
      const id = this.#next++
      this.#open.set(id, { resolve, reject })
      socket.send(JSON.stringify({ ...asked, id }))
    })
  }

  /** Presses or releases a key. */
  key(code: string, pressed: boolean): void {
    this.ask({ type: 'key', code, pressed }).catch(() => {})
  }

  #told(told: Told): void {
    switch (told.type) {
      case 'machine':
        this.description = told
        this.state = told.state
        this.end = undefined
        this.dispatchEvent(new CustomEvent('described', { detail: told }))
        break
      case 'state':
        this.state = told.state
        this.dispatchEvent(new Event('state'))
        break
      case 'port':
        this.dispatchEvent(new CustomEvent('port', { detail: told.name }))
        break
      case 'restarted':
        this.dispatchEvent(new Event('restarted'))
        break
      case 'ended':
        this.state = 'stopped'
        this.end = told.end
        this.dispatchEvent(new Event('ended'))
        break
      case 'answer': {
        const open = this.#open.get(told.id)
        this.#open.delete(told.id)
        if (told.error === undefined) open?.resolve(told)
        else open?.reject(new Error(told.error))
      }
    }
  }
}

/** A serial port of the machine's as streams: over a WebSocket, which ends with the page or the machine. */
export function openSerial(name: string): {
  readable: ReadableStream<Uint8Array>
  writable: WritableStream<Uint8Array>
  close(): void
} {
  const socket = new WebSocket(socketUrl(`/serial/${name}`))
  socket.binaryType = 'arraybuffer'
  const opened = new Promise(resolve => {
    socket.addEventListener('open', resolve)
  })
  let isDone = false
  return {
    readable: new ReadableStream({
      start(controller) {
        socket.addEventListener('message', ({ data }) => {
          if (!isDone) controller.enqueue(new Uint8Array(data))
        })
        socket.addEventListener('close', () => {
          if (!isDone) controller.close()
          isDone = true
        })
      },
      cancel() {
        isDone = true
        socket.close()
      },
    }),
    writable: new WritableStream({
      async write(bytes) {
        await opened
        if (socket.readyState === WebSocket.OPEN) socket.send(bytes as Uint8Array<ArrayBuffer>)
      },
    }),
    close: () => socket.close(),
  }
}

/** Uploads a file into the folder of media. @param progress is told of the part that is there @throws Error with a sentence */
export function upload(file: File, progress: (part: number) => void, signal: AbortSignal): Promise<void> {
  // fetch cannot tell how far it is.
  const request = new XMLHttpRequest()
  request.open('PUT', `/media/${encodeURIComponent(file.name)}${location.search}`)
  return new Promise((resolve, reject) => {
    request.upload.addEventListener('progress', ({ loaded, total }) => progress(loaded / total))
    request.addEventListener('load', () => {
      if (request.status === 201) resolve()
      else reject(new Error(request.responseText.trim()))
    })
    request.addEventListener('error', () => reject(new Error('the upload broke off')))
    request.addEventListener('abort', () => reject(new Error('the upload was stopped')))
    signal.addEventListener('abort', () => request.abort())
    request.send(file)
  })
}

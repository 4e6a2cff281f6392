/** What a viewer is connected by, as the server sees it: a stream of bytes with room that ends. */

/** A connection to one viewer. */
export interface Connection {
  /** Where the viewer is, for messages. */
  readonly peer: string
  /** Whether the viewer is on this host: bytes cost little then. */
  readonly isLocal: boolean
  /** The next bytes, or undefined when there are none any more. One call at a time; what is not read waits with the sender. */
  read(): Promise<Uint8Array | undefined>
  /**
   * Sends bytes, which the caller does not touch again.
   * @param sent is called when nobody needs the bytes any more, and not where the connection ends before
   * @returns when there is room for more, and where `sent` is given, no sooner than it was called
   * @throws when the connection has ended, or the viewer has taken nothing for too long
   */
  write(bytes: Uint8Array, sent?: () => void): Promise<void>
  /** Ends it at once. */
  close(): void
  /** Goes on under TLS, where that can be had; everything read so far was read. */
  startTls?(): Promise<Connection>
}
